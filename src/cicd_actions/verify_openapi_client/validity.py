"""Says why a value is not an OpenAPI 3.0 to 3.2 document: only what would make a comparison or a generation meaningless."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cicd_actions.verify_openapi_client.breaking.document import METHODS, Document, Part, mapping, text
from cicd_actions.verify_openapi_client.breaking.references import DATA, NAMED

_LOCATIONS = ("query", "querystring", "header", "path", "cookie")


@dataclass(frozen=True)
class Problem:
    """What is wrong, where, and what to do."""

    pointer: str
    message: str
    fix: str = ""


def problems(root: Any, document: Document | None = None) -> list[Problem]:
    """Returns what keeps the value from being used; empty for a document that can be. `document` is the value, if known."""
    version = _version(root)
    if version is not None:
        return [version]
    document = document or Document(root)
    return [*_structure(document), *_references(document)]


def _version(root: Any) -> Problem | None:
    if not isinstance(root, dict):
        kind = "a list" if isinstance(root, list) else "a single value"
        return Problem("#", f"It holds {kind}, not an OpenAPI document.", "The input has to name the exported document.")
    if "swagger" in root:
        return Problem(
            "#/swagger",
            f"It is Swagger {root['swagger']}, the format before OpenAPI 3.",
            "Convert it once, or let the backend export OpenAPI 3:\n\n    npx swagger2openapi swagger.json -o openapi.json",
        )
    version = root.get("openapi")
    if version is None:
        return Problem("#", "It has no field `openapi`, so it is not an OpenAPI document.", "    openapi: 3.1.0")
    if re.fullmatch(r"3\.[012]", str(version)):
        return Problem("#/openapi", f"It is OpenAPI {version}, whose third number is missing.", f'    openapi: "{version}.0"')
    if not isinstance(version, str) or not re.fullmatch(r"3\.[012]\.\d+(-.*)?", version):
        return Problem("#/openapi", f"It is OpenAPI {version!r}; this action reads 3.0, 3.1 and 3.2.", "    openapi: 3.1.0")
    return None


def _structure(document: Document) -> Iterator[Problem]:
    root = document.root
    info = root.at("info")
    # In YAML a version without quotes is a number. Nothing depends on it.
    kinds: dict[str, type | tuple[type, ...]] = {"title": str, "version": (str, int, float)}
    if not isinstance(info.raw, dict) or not all(isinstance(info.raw.get(key), kind) for key, kind in kinds.items()):
        yield Problem("#/info", "`info` has to be an object with `title` and `version`, both text.")
    if "paths" not in root.raw and (document.nullable_keyword or not {"components", "webhooks"} & root.raw.keys()):
        yield Problem("#", "It has no `paths`.")
    for key, kind in (("paths", dict), ("components", dict), ("webhooks", dict), ("servers", list), ("security", list)):
        if key in root.raw and not isinstance(root.raw[key], kind):
            yield Problem(f"#/{key}", f"`{key}` has to be {'an object' if kind is dict else 'a list'}.")
    for path, item in root.at("paths").entries():
        if path.startswith("x-"):
            continue
        if not path.startswith("/"):
            yield Problem(item.pointer, f"The path `{path}` does not start with `/`.")
        yield from _item(document, item)
    for _, item in root.at("webhooks").entries():
        yield from _item(document, item)
    for kind_name, group in root.at("components").entries():
        if not kind_name.startswith("x-") and not isinstance(group.raw, dict):
            yield Problem(group.pointer, f"`components.{kind_name}` has to be an object.")


def _item(document: Document, item: Part) -> Iterator[Problem]:
    if not isinstance(item.raw, dict):
        yield Problem(item.pointer, "A path item has to be an object.")
        return
    followed = document.followed(item)
    yield from _parameters(document, followed)
    methods = [followed.at(method) for method in METHODS if method in mapping(followed.raw)]
    for operation in (*methods, *(part for _, part in followed.at("additionalOperations").entries())):
        if not isinstance(operation.raw, dict):
            yield Problem(operation.pointer, "An operation has to be an object.")
            continue
        yield from _parameters(document, operation)
        responses = operation.raw.get("responses")
        if (responses is None and document.nullable_keyword) or not isinstance(responses, (dict, type(None))):
            yield Problem(operation.pointer, "An operation needs `responses`, an object of status codes.")
        for code, _ in operation.at("responses").entries():
            if not re.fullmatch(r"[1-5](\d\d|XX|xx)|default|x-.*", code):
                yield Problem(operation.at("responses", code).pointer, f"`{code}` is not a status code, a range or `default`.")


def _parameters(document: Document, owner: Part) -> Iterator[Problem]:
    group = owner.at("parameters")
    if group.raw is None:
        return
    if not isinstance(group.raw, list):
        yield Problem(group.pointer, "`parameters` has to be a list.")
        return
    for member in group.items():
        raw = mapping(document.followed(member).raw)
        if "$ref" in mapping(member.raw):
            continue  # looked at where it stands
        if not isinstance(raw.get("name"), str) or text(raw.get("in")) not in _LOCATIONS:
            yield Problem(member.pointer, f"A parameter needs a `name`, and `in` as one of {', '.join(_LOCATIONS)}.")


def _references(document: Document) -> Iterator[Problem]:
    """Every reference has to lead somewhere within the document; nothing is ever fetched."""
    stack: list[tuple[Any, str, bool]] = [(document.root.raw, "#", False)]
    known: dict[str, bool] = {}
    while stack:
        value, pointer, names = stack.pop()
        if isinstance(value, list):
            stack.extend((item, f"{pointer}/{index}", False) for index, item in enumerate(value))
            continue
        if not isinstance(value, dict):
            continue
        reference = value.get("$ref")
        if not names and isinstance(reference, str):
            if not reference.startswith("#"):
                yield Problem(
                    f"{pointer}/$ref",
                    f"The reference `{reference}` leads out of the document, and nothing is ever fetched.",
                    "Bundle it into one file before this step:\n\n    npx @redocly/cli bundle openapi.yaml -o openapi.json",
                )
            else:
                if reference not in known:
                    known[reference] = document.find(reference) is not None
                if not known[reference]:
                    yield Problem(f"{pointer}/$ref", f"The reference `{reference}` leads to nothing in the document.")
        for key, item in value.items():
            if isinstance(item, (dict, list)) and (names or not (key in DATA or key.startswith("x-"))):
                below = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
                stack.append((item, below, not names and key in NAMED))
