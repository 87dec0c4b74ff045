"""Deploy safety for GitHub Actions: green means this commit is what runs, and the rollback is proven."""

from cicd_actions.toolkit import lazy, long_numbers

lazy.install()
long_numbers.install()
