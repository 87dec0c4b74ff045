"""The pipeline file, `.github/cicd.yml`: its definition, its parser, its JSON Schema and its documentation.

Reading order: `model` has every key, as fields of frozen classes, with `lanes` and `checks` for what runs before a release.
`shape` has the kinds of values that keys are made of, `kinds` those that several keys share. `reading` is the parser, `rules`
what a schema cannot say, `schema` what is published, `backing` the containers of lanes.
"""
