"""Reads a repository as a pipeline, and says which rules of a safe deploy it breaks.

`repository` and `shell` read files (`workspaces` the commands of Node.js's package managers), `commands`, `known_commands`
and `known_actions` say what a step does (`effects`). `expansion` builds the `model` through calls, `dispatches` links the
workflows that steps start, and `lookalikes` drops what only looks like a deploy. `stages`, `applied`, `startup` and
`startup_code` tell where a release goes and what it starts. `rules` judge `facts`; `life` gives findings their age, `audit`
joins it all. `seen`, `checklists`, `reporting`, `fixes` and `pages` show it; `fleet`, `settings`, `literals` and `zizmor` ask
elsewhere.
"""
