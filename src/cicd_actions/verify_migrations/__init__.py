"""verify-migrations: what a new migration does to the release that still runs, proven on a real PostgreSQL before the merge.

Reading order: `run` is one run. `server` and `wire` give a scratch PostgreSQL; `mysql` (with `mysql_wire` and
`mysql_catalog`) and `sqlite` give another database, and `dialect` is what they share. `project` has the two work trees and
their programs (`in_project` runs inside them). `base_schema` builds what runs now, `revision_graph` compares the revision
files, and `verification` runs the change; `trace`, `segments`, `catalog` and `traffic` tell what it did, and `round_trip`
what its downgrades left. `replay` and `old_code` try the running release on the new schema, with the data of `rows` and
`values`; `without_rows` tells what was proven without data. `rules` and `judgement` decide, and `reporting` says it.
"""
