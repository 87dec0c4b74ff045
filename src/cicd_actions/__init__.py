"""Deploy safety for GitHub Actions: green means this commit is what runs, and the rollback is proven."""
