"""`infrastructure`: plans and applies what an environment stands on, by Terraform, OpenTofu or Pulumi.

Read `run` first: the phases, and what each way to end means. `tools` knows the commands, `changes` reads plans (addresses and
names, never values), `sealing` keeps a plan between the job that makes it and the one that applies it, `handed_on` brings the
outputs to the programs of the deploy.
"""
