"""The pipeline file, `.github/cicd.yml`: its definition, its parser, its JSON Schema and its documentation.

Read `model` first: every key, as fields of frozen classes. `shape` has the kinds of values that they are made of, `reading` the
parser, `rules` what a schema cannot say, `schema` what is published, `backing` the containers of lanes.
"""
