"""The pipeline file, `.github/cicd.yml`: its definition, its parser, its JSON Schema and its documentation."""
