"""The action run-migrations-oneshot: migrations as one gated job of the image that is about to be rolled out.

Reading order: `run` is one run, `command_line` recognises the tool, `job` starts it in the image. `program` makes the text of
the program that runs there, from `in_image`; `progress` follows its events, `log_lines` shows them, `journal` keeps the log.
`other_tool` and `known_tools` are for what is not Alembic, Django or a folder of SQL; `backup`, `schema` and `programs` for
what runs on the runner. `proven` reads the phases that verify-migrations proved. `outcome` reports, with the texts of
`explanations`, `connecting`, `of_django`, `sentences` and `sql_states`.
"""
