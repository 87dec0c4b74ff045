"""The action pipeline-metrics: how long pipelines take, how often they fail, and the DORA metrics, from runs and records."""
