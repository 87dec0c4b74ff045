"""What every action stands on: inputs, verdicts and findings, reporting, errors, time, retry, redaction.

It knows no action, and imports nothing of the packages above it. Reading order:

- `definition`, `inputs`, `grammar`: an action and its inputs; `manual` writes their help, `lazy` puts imports off.
- `verdict`, `findings`, `errors`, `report`: what an action says. `reporting` publishes it (`markdown`, `terminal`, `sarif`),
  and `error_report` says how a run ended early.
- `runtime`, `environment`, `dotenv`, `redaction`, `printable`: the log, variables, and text that must do no harm.
  `long_numbers`: JSON that others can read is read here too. `json_values`: what stands in it.
- `deadline`, `retry`, `background`: time. `receiver`: a server that takes what an action sends, `proxies`: the ways to it;
  `prometheus`: its warnings.
  `process`, `lines`, `git`, `private`, `masked_log`, `path_patterns`: programs and files. `yaml12`: YAML.
"""
