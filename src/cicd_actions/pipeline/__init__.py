"""The programs of the reusable workflows, behind `.github/actions`, and the commands `init` and `plan`.

Read `plan` first: it reads the `event` (`changes`) and the file, and `planning` turns them into jobs and environments
(`release_settings`: what a release's jobs take; `toolchains`: package managers and lock files; `protection`: the environments'
rules on GitHub; `caller`: what the workflow that calls ours says). `run_lane` runs a lane's job (`reports`: JUnit and
coverage), `run_scans` the scanners that `scans` plans, and `check_jobs` ends the verification (`step`).
A release is `build_images` and `check_sbom`, or `promoted_images`, then for each environment `check_approval`,
`registry_login`, `release_images`, one `deploy_step` for each action and `smoke_tests` (`secret_files`: DEPLOY_ENV and
RELEASE_ENV). `init` writes the `starting_files` from what the package `detection` finds. A rehearsal is planned by `rehearse`,
and `break_release` makes what it rolls out.
"""
