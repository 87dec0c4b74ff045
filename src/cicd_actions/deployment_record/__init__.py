"""The action deployment-record: what was deployed, whether it passed its gate, and from where a release may come.

Reading order: `run` chooses the phase, `phase` holds what all phases share, then `start`, `finish`, `abandoned`, `adopt` and
`verify`, one each. `locks` keeps deploys out of an environment, and `freeze` reads its windows. `status` lists what is
recorded, and `audit` posts a record to a log that others keep.
"""
