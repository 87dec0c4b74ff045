"""The action verify-openapi-client: the client in git is the generated one, and what a change does to its callers.

Reading order: `run` is one run. `repository` and `shadow` give a copy to generate in, `generation` and `packages` run the
generator, `client` names the paths, `drift` compares. `specification`, `validity` and `base` load documents, `comparison`
compares them by `breaking` and `symbols`, with the levels of `levels` and what `acknowledge` accepts. `diagnosis`,
`overview`, `line_numbers` and `evidence` add causes and places, `judgement` decides, and `reporting` says it.
"""
