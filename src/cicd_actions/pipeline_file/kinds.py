"""The kinds of values that several keys of the pipeline file have."""

from __future__ import annotations

from cicd_actions.pipeline_file.shape import Anything, Listed, Named, Text

WORD = Text("text")
NAME = Text("a name of lower-case letters, digits, `-` and `_`", r"[a-z0-9][a-z0-9_-]{0,39}", "api")
PATH = Text("a path inside the repository", r"(?!/)(?!(?:.*/)?\.\.(?:/|$))[^\\\n]*[^\\\s]", "apps/api")
GLOB = Text("a pattern of paths", r"[^\n]*\S", '"packages/shared/**"')
COMMAND = Text("a command, run without a shell", r"[\s\S]*\S[\s\S]*", "make test")
IMAGE = Text("an image", r"[a-zA-Z0-9][a-zA-Z0-9._/:@-]{0,254}", "postgres:17")
REPOSITORY = Text("an image's repository, without a tag", r"[a-z0-9][a-z0-9._/:-]{0,200}", "ghcr.io/org/app/api")
VERSION = Text("a version in quotes", r"[0-9]+(?:\.[0-9]+){0,2}", '"3.13"')
VARIABLE = Text("the name of an environment variable", r"[A-Za-z_][A-Za-z0-9_]*", "DATABASE_URL")
DURATION = Text("a duration", r"[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h)", "5m")
REF = Text("a pattern of full refs", r"refs/[^\s]+", "refs/heads/main")
URL = Text("an http or https URL", r"https?://[^\s/]+[^\s]*", "https://api.staging.example.org")
ENVIRONMENT = Text("the name of an environment", r"[A-Za-z0-9][A-Za-z0-9._ -]{0,99}", "staging")
LABEL = Text("a runner's label", r"[^\s,\[\]{}]+", "ubuntu-latest")
FREEZE = Text(
    "CRON to CRON in ZONE: why",
    r"\S+( +\S+){4} +to +\S+( +\S+){4} +in +\S+ *: *.*\S",
    '"0 18 * * FRI to 0 6 * * MON in Europe/Berlin: the weekend"',
)
STEP = Text(
    "a share, a number of requests and a time",
    r"[0-9]{1,2}(?:\.[0-9]+)? ?% +[0-9]{1,9} +requests? +within +[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h)",
    "10% 1000 requests within 30m",
)
RUNNER = Listed(LABEL, 1, 20)
COMMANDS = Listed(COMMAND)
ENV = Named(Anything(), VARIABLE)
CONTAINER_ENV = Named(Anything(), Text("the name of a container's variable", r"[A-Za-z_][A-Za-z0-9_.-]*", "discovery.type"))
BUILD_ARGS = Named(Anything(), VARIABLE)
