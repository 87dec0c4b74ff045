#!/usr/bin/env python3
"""Deploys services of a Compose file on a server, over ssh: the four programs of `engine: command` in one file.

    compose.py roll-out SERVICE IMAGE SHA    replaces one service, and waits until it is up
    compose.py running                       prints what runs, as JSON
    compose.py image IMAGE                   ends with 0 where the server can have the image, with 1 where it does not exist
    compose.py job SERVICE IMAGE COMMAND…    runs a one-shot job with the service's environment

It needs SSH_HOST (user@host) and COMPOSE_FOLDER on the server; SSH_KEY and SSH_KNOWN_HOSTS hold the files' texts. The Compose
file names each image by a variable, such as `image: ${API_IMAGE}` for the service `api`; `images.env` beside it sets them.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

COMPOSE = os.environ.get("COMPOSE", "docker compose")
PROJECT = "COMPOSE_PROJECT_NAME"
SCRIPT = {"command", "options", "variables"}
"""What is a part of a script already, and not one word of it."""

ABSENT = re.compile(r"manifest unknown|not found|name unknown", re.IGNORECASE)

# The new file takes the old one's place in one step: a reader never sees half of it.
STATE = "{{.State.Status}} {{.State.Restarting}} {{with .State.Health}}{{.Status}}{{end}}"
ROLL_OUT = """
set -eu
cd {folder}
touch images.env
grep -v -e ^{name}_IMAGE= -e ^{name}_SHA= images.env >images.env.new || true
printf '%s_IMAGE=%s\\n%s_SHA=%s\\n' {name} {image} {name} {sha} >>images.env.new
docker pull --quiet {image} >/dev/null
mv images.env.new images.env
{compose} --env-file images.env up -d --no-deps {service}
container=$({compose} --env-file images.env ps -q {service})
for _ in $(seq 1 {seconds}); do
    state=$(docker inspect -f {state} $container | sort -u)
    case $state in
        "running false healthy" | "running false ") up=$((${{up:-0}} + 1)) ;;
        *unhealthy* | exited* | dead*) echo "{service}: $state" >&2; exit 1 ;;
        *) up=0 ;;
    esac
    [ "${{up:-0}}" -ge {stable} ] && exit 0
    sleep 1
done
echo "{service} is not up after {seconds} s: $state" >&2
exit 1
"""

IMAGE = '{{index .Config.Labels "com.docker.compose.service"}} {{.Config.Image}}'
RUNNING = """
set -eu
cd {folder}
[ -f images.env ] || exit 0
cat images.env
containers=$({compose} --env-file images.env ps -q)
[ -z "$containers" ] || docker inspect -f {state} $containers
"""

JOB = """
set -eu
cd {folder}
touch images.env
{variables}
{name}_IMAGE={image} {compose} --env-file images.env run --rm --no-deps -T {options} {service} {command} </dev/null
"""


def on_the_server(script: str, **values: str) -> subprocess.CompletedProcess[str]:
    """Runs a script there; each value is one word of it."""
    quoted = {key: text if key in SCRIPT else shlex.quote(text) for key, text in values.items()}
    prefix = f"{PROJECT}={shlex.quote(os.environ[PROJECT])} " if os.environ.get(PROJECT) else ""
    text = script.format(folder=shlex.quote(os.environ["COMPOSE_FOLDER"]), compose=prefix + COMPOSE, **quoted)
    with tempfile.TemporaryDirectory() as folder:
        options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-p", os.environ.get("SSH_PORT", "22")]
        for variable, option in (("SSH_KEY", "IdentityFile"), ("SSH_KNOWN_HOSTS", "UserKnownHostsFile")):
            if os.environ.get(variable):
                file = Path(folder, variable)
                file.touch(mode=0o600)
                file.write_text(os.environ[variable].strip() + "\n")
                options += ["-o", f"{option}={file}"]
        words = ["ssh", *options, os.environ["SSH_HOST"], "sh", "-s"]
        return subprocess.run(words, input=text, text=True, capture_output=True, check=False)


def said(done: subprocess.CompletedProcess[str]) -> int:
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    return done.returncode


def name_of(service: str) -> str:
    return re.sub(r"\W", "_", service).upper()


def running(text: str) -> dict[str, dict[str, str]]:
    """What runs, by service. The container counts, not the file: the commit is only told for the image that the file names."""
    set_to = dict(line.split("=", 1) for line in text.splitlines() if re.match(r"\w+=", line))
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        service, space, image = line.partition(" ")
        if not space:
            continue
        digest = image.partition("@")[2]
        sha = set_to.get(f"{name_of(service)}_SHA", "") if set_to.get(f"{name_of(service)}_IMAGE") == image else ""
        entry = {"image": image, "digest": digest, "sha": sha}
        if found.setdefault(service, entry) != entry:
            found[service] = {"image": "several", "digest": "", "sha": ""}
    return found


def main(verb: str, *words: str) -> int:
    if verb == "roll-out":
        service, image, sha = words
        pace = {"seconds": os.environ.get("UP_WITHIN", "120"), "stable": os.environ.get("UP_FOR", "5")}
        return said(on_the_server(ROLL_OUT, service=service, name=name_of(service), image=image, sha=sha, state=STATE, **pace))
    if verb == "running":
        done = on_the_server(RUNNING, state=IMAGE)
        if done.returncode:
            return said(done)
        sys.stdout.write(json.dumps(running(done.stdout)) + "\n")
        return 0
    if verb == "image":
        done = on_the_server("docker image inspect {image} >/dev/null 2>&1 || docker pull --quiet {image}\n", image=words[0])
        absent = done.returncode and ABSENT.search(done.stderr)
        sys.stderr.write(done.stderr)
        return 1 if absent else 2 if done.returncode else 0
    service, image, *command = words
    # The values travel in the script, which is read from standard input: they stand in no list of processes.
    names = os.environ.get("JOB_VARIABLES", "").split()
    texts = {
        "variables": "\n".join(f"export {each}={shlex.quote(os.environ[each])}" for each in names),
        "options": " ".join(f"-e {each}" for each in names),
        "command": shlex.join(command),
    }
    return said(on_the_server(JOB, service=service, name=name_of(service), image=image, **texts))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
