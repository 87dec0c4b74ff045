#!/usr/bin/env -S python3 -I -S
"""Stands in for Terraform: the protocol of plan and apply, on `terraform_data` in `main.tf.json`, with a local backend.

It keeps what the actions rely on: `plan -detailed-exitcode -out=FILE` with 0, 1 and 2, also `-refresh-only`; `show -json FILE`;
`apply FILE`, which refuses a plan of another serial or lineage; `output -json`; the state's lock; a provisioner that fails
half-way. The texts of errors are Terraform's own. CICD_ACTIONS_TEST_TERRAFORM names a real one, on which the same tests hold.

Only the standard library: it is copied to a folder of PATH and run there by itself.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

NOTHING: dict[str, Any] = {"serial": 0, "lineage": "", "resources": {}, "outputs": {}}


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def error(title: str) -> int:
    sys.stderr.write(f"╷\n│ Error: {title}\n╵\n")
    return 1


def code() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("main.tf.json").read_text())
    return found


def state_file() -> Path:
    backend = code().get("terraform", {}).get("backend", {}).get("local", {})
    return Path(backend.get("path", "terraform.tfstate"))


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else dict(NOTHING)
    return found


def wanted() -> dict[str, dict[str, Any]]:
    resources = code().get("resource", {}).get("terraform_data", {})
    return {
        f"terraform_data.{name}": {"input": each.get("input"), "triggers_replace": each.get("triggers_replace")}
        for name, each in resources.items()
    }


def planned(state: dict[str, Any]) -> dict[str, Any]:
    changes, outputs = [], {}
    before, after = state["resources"], wanted()
    for address in sorted({*before, *after}):
        old, new = before.get(address), after.get(address)
        plain = {key: value for key, value in old.items() if key != "tainted"} if old else None
        if old is None:
            actions = ["create"]
        elif new is None:
            actions = ["delete"]
        elif old.get("tainted") or old["triggers_replace"] != new["triggers_replace"]:
            actions = ["delete", "create"]
        else:
            actions = ["no-op"] if plain == new else ["update"]
        change = {"actions": actions, "before": plain, "after": new, "after_unknown": {}}
        changes.append({"address": address, "change": change})
    told = {name: each["value"] for name, each in code().get("output", {}).items()}
    for name in {*state["outputs"], *told}:
        same = name in state["outputs"] and name in told and state["outputs"][name]["value"] == told[name]
        outputs[name] = {"actions": ["no-op"] if same else ["update"], "after": told.get(name)}
    return {"format_version": "1.2", "resource_changes": changes, "output_changes": outputs}


def drifted(state: dict[str, Any], reality: dict[str, Any]) -> dict[str, Any]:
    found = [
        {"address": address, "change": {"actions": ["update"], "before": old, "after": reality[address], "after_unknown": {}}}
        for address, old in state["resources"].items()
        if reality.get(address, old) != old
    ]
    return {"format_version": "1.2", "resource_changes": [], "resource_drift": found}


def plan(options: list[str]) -> int:
    path = state_file()
    state, reality = load(path), path.with_name("reality.json")
    if "-refresh-only" in options:
        found = drifted(state, json.loads(reality.read_text()) if reality.exists() else {})
    else:
        found = planned(state)
    kept = {"serial": state["serial"], "lineage": state["lineage"], "code": code(), "plan": found}
    out = next((each.partition("=")[2] for each in options if each.startswith("-out=")), "")
    if out:
        Path(out).write_text(json.dumps(kept))
    moved = [each["change"] for each in found["resource_changes"]] + found.get("resource_drift", [])
    moved += list(found.get("output_changes", {}).values())
    changes = any(each.get("actions") != ["no-op"] for each in moved)
    say(json.dumps(found))  # as a plan prints values
    return 2 if changes and "-detailed-exitcode" in options else 0


def apply(file: str) -> int:
    path, kept = state_file(), json.loads(Path(file).read_text())
    state = load(path)
    if (state["serial"], state["lineage"]) != (kept["serial"], kept["lineage"]):
        return error("Saved plan is stale")
    state = {**state, "lineage": state["lineage"] or os.urandom(8).hex(), "resources": dict(state["resources"])}
    failed = False
    for each in kept["plan"]["resource_changes"]:
        address, change = each["address"], each["change"]
        if change["actions"] == ["no-op"]:
            continue
        state["serial"] += 1
        say(f"{address}: Modifying...")
        state["resources"].pop(address, None)
        if change["after"] is not None:
            body = kept["code"]["resource"]["terraform_data"][address.partition(".")[2]]
            commands = [one["local-exec"]["command"] for one in body.get("provisioner", []) if "create" in change["actions"]]
            broken = any(os.system(command) for command in commands)  # noqa: S605
            state["resources"][address] = {**change["after"], **({"tainted": True} if broken else {})}
            failed = failed or broken
    if not failed:
        state["serial"] += 1
        state["outputs"] = {
            name: {"sensitive": bool(each.get("sensitive")), "type": "string", "value": each["value"]}
            for name, each in kept["code"].get("output", {}).items()
        }
    path.write_text(json.dumps(state))
    if failed:
        return error("local-exec provisioner error")
    say("\nApply complete!\n\nOutputs:\n")
    for name, each in state["outputs"].items():
        say(f"{name} = {'<sensitive>' if each['sensitive'] else each['value']}")
    return 0


def main(words: list[str]) -> int:
    verb, *options = words
    if verb in {"plan", "apply"} and (state_file().parent / f".{state_file().name}.lock.info").exists():
        return error("Error acquiring the state lock")
    if verb == "plan":
        return plan(options)
    if verb == "apply":
        return apply(options[-1])
    if verb == "show":
        say(json.dumps(json.loads(Path(options[-1]).read_text())["plan"]))
    elif verb == "output":
        say(json.dumps(load(state_file())["outputs"]))
    elif verb != "init":
        return error(f"Terraform has no command named {verb!r}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
