"""Writes a message for Slack, Teams and Discord in their own form, and as CommonMark for every other service.

A name or a reason may be text from outside. Where a service reads a markup, that text is escaped, so that it can neither
mention a channel nor show a link under another name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cicd_actions.notify.message import SIGNS, Message
from cicd_actions.toolkit.printable import shortened

Payload = dict[str, Any]

_CUT_ROOM = 40
"""Characters that `shortened` adds to a text that it cuts."""

SLACK_HEADER, SLACK_TEXT = 150, 3000
"""https://docs.slack.dev/reference/block-kit/blocks/header-block and …/composition-objects/text-object"""

DISCORD_TITLE, DISCORD_DESCRIPTION, DISCORD_VALUE, DISCORD_EMBED = 256, 4096, 1024, 6000
"""https://docs.discord.com/developers/resources/message#embed-object-embed-limits"""

TEAMS_BYTES = 28 * 1024
"""https://learn.microsoft.com/microsoftteams/limits-specifications-teams#chat: a larger message is not delivered."""

_COLOURS = {"success": 0x2EB67D, "failure": 0xE01E5A, "warning": 0xECB22E, "info": 0x36C5F0}


def cut(text: str, limit: int) -> str:
    """Returns at most `limit` characters; a text that is cut says so."""
    return text if len(text) <= limit else shortened(text, max(limit - _CUT_ROOM, 0))[:limit]


def url_in_markup(url: str) -> str:
    """Returns a URL in which nothing can end a link of any markup."""
    return re.sub(r"[\s<>|()\[\]\"'`\\*_~^{}]", lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), url)


def slack(message: Message) -> Payload:
    """Returns an attachment with blocks; its fallback is what a phone shows before the message is opened."""
    title = f"{SIGNS[message.event]} {message.title}"
    texts = [_slack_text(message.lead)]
    if message.evidence:
        texts.append(_slack_code(message.evidence))
    texts.append("\n".join(f"*{name}:* {_slack_text(text)}" for name, text in message.facts))
    if message.command:
        texts.append(_slack_code(message.command))
    texts.append(" · ".join(f"<{_slack_text(url_in_markup(url))}|{name}>" for name, url in message.links))
    blocks: list[Payload] = [
        {"type": "header", "text": {"type": "plain_text", "text": cut(title, SLACK_HEADER), "emoji": True}},
        *({"type": "section", "text": {"type": "mrkdwn", "text": text}} for text in texts if text),
    ]
    return {"color": f"#{_COLOURS[message.kind]:06X}", "fallback": _slack_text(f"{title}: {message.lead}"), "blocks": blocks}


def _slack_text(text: str) -> str:
    """https://docs.slack.dev/messaging/formatting-message-text#escaping"""
    escaped = cut(text, SLACK_TEXT // 3).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return cut(escaped, SLACK_TEXT)


def _slack_code(text: str) -> str:
    return f"```{_slack_text(text.replace('```', chr(39) * 3))}```"


def teams(message: Message) -> Payload:
    """Returns a message with an adaptive card. Runs of rich text are not Markdown, so that no text in them can act."""
    body: list[Payload] = [
        {
            "type": "TextBlock",
            "text": _teams_plain(f"{SIGNS[message.event]} {message.title}"),
            "weight": "Bolder",
            "size": "Large",
            "wrap": True,
        },
        _teams_runs({"text": message.lead}),
    ]
    if message.evidence:
        body.append(_teams_runs({"text": message.evidence, "fontType": "Monospace"}))
    body += [_teams_runs({"text": f"{name}: ", "weight": "Bolder"}, {"text": text}) for name, text in message.facts]
    if message.command:
        body.append(_teams_runs({"text": message.command, "fontType": "Monospace"}))
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": name, "url": url} for name, url in message.links],
        "msteams": {"width": "Full"},
    }
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}],
    }


def _teams_runs(*runs: Payload) -> Payload:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs]}


def _teams_plain(text: str) -> str:
    """Returns text without what makes a link or emphasis in a TextBlock, which has no plain form."""
    return re.sub(r"[\[\]*_`<>]", lambda match: {"[": "(", "]": ")", "<": "‹", ">": "›"}.get(match[0], "·"), text)


def fitting(message: Message, write: Callable[[Message], Payload], fits: Callable[[Payload], bool]) -> Payload:
    """Returns the payload of a message, with less evidence and then without facts where it would not fit."""
    for room in (len(message.evidence), 600, 200, 0):
        payload = write(replace(message, evidence=cut(message.evidence, room)))
        if fits(payload):
            return payload
    return write(replace(message, evidence="", facts=(), command=""))


def fits_teams(payload: Payload) -> bool:
    """Tells whether a message is delivered; Teams adds some properties to it."""
    return len(json.dumps(payload)) < TEAMS_BYTES - 2048


def fits_discord(payload: Payload) -> bool:
    """Tells whether an embed is taken."""
    embed = payload["embeds"][0]
    total = (
        len(embed["title"])
        + len(embed["description"])
        + sum(len(each["name"]) + len(each["value"]) for each in embed["fields"])
    )
    return len(embed["description"]) <= DISCORD_DESCRIPTION and total <= DISCORD_EMBED


def discord(message: Message) -> Payload:
    """Returns a message that mentions no one."""
    parts = [_escaped(message.lead)]
    if message.evidence:
        parts.append(f"```\n{message.evidence.replace('```', chr(39) * 3)}\n```")
    if message.command:
        parts.append(f"```\n{message.command.replace('```', chr(39) * 3)}\n```")
    parts.append(" · ".join(f"[{name}](<{url_in_markup(url)}>)" for name, url in message.links))
    fields = [
        {"name": name, "value": cut(_escaped(text), DISCORD_VALUE), "inline": len(text) < 40} for name, text in message.facts
    ]
    embed = {
        "title": cut(f"{SIGNS[message.event]} {_escaped(message.title)}", DISCORD_TITLE),
        "description": "\n".join(part for part in parts if part),
        "color": _COLOURS[message.kind],
        "fields": fields,
    }
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def commonmark(message: Message, limit: int) -> str:
    """Returns the text of at most `limit` characters (0: any number). What matters least is left out first."""
    lead = _escaped(message.lead)
    links = "\n".join(f"- {name}: <{url_in_markup(url)}>" for name, url in message.links)
    facts = "\n".join(f"- {name}: {_escaped(text)}" for name, text in message.facts)
    command, evidence = _fenced(message.command), _fenced(message.evidence)
    # One list: two of them with a line between would be a loose one, whose plain text is torn apart.
    listed = "\n".join(part for part in (facts, links) if part)
    for parts in ([lead, evidence, command, listed], [lead, evidence, listed], [lead, evidence, links], [lead, links]):
        text = "\n\n".join(part for part in parts if part)
        if not limit or len(text) <= limit:
            return text
    first = f"{message.links[0][0]}: {message.links[0][1]}" if message.links else ""
    rest = limit - len(first) - 2
    return f"{cut(lead, rest)}\n\n{first}" if rest > 0 else cut(lead, limit)


def _fenced(text: str) -> str:
    """Returns a code block whose fence is longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}" if text else ""


def _escaped(text: str) -> str:
    """Returns text of which no character acts in CommonMark. No such text begins a line, where more characters would act."""
    return re.sub(r"([\\`*_\[\]<>|~&])", r"\\\1", text).replace("\n", " ")
