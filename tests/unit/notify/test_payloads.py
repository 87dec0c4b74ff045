"""Payloads fit their services: Teams by Microsoft's own reader of cards, Slack and Discord by their documented limits."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from cicd_actions.notify import payloads
from cicd_actions.notify.message import SIGNS, WORDS, Message
from tests.harness import npm

NASTY = (
    "<!channel> @everyone *b* _i_ `c` ```x``` [shown](https://evil.example) <https://evil.example|shown> {{app_title}} & | ~s~"
)
LONG = Message(
    "failed", "t" * 200, "l" * 500, "e\n" * 750, tuple((f"n{at}", "f" * 300) for at in range(6)),
    tuple((f"Link {at}", f"https://example.com/{'u' * 300}") for at in range(5)), "c" * 500,
)  # fmt: skip
HOSTILE = Message("failed", NASTY, NASTY, NASTY, (("Changes", NASTY),), (("Logs", f"https://example.com/{NASTY}"),), NASTY)


def check_slack(payload: dict[str, Any]) -> None:
    """https://docs.slack.dev/reference/block-kit/blocks/ (header, section) and /messaging/ (at most 50 blocks in a message)."""
    assert set(payload) == {"color", "fallback", "blocks"}
    assert re.fullmatch("#[0-9A-F]{6}", payload["color"])
    assert 1 <= len(payload["blocks"]) <= 50
    for block in payload["blocks"]:
        assert set(block) == {"type", "text"}
        kind, text = block["text"]["type"], block["text"]["text"]
        assert (block["type"], kind) in {("header", "plain_text"), ("section", "mrkdwn")}
        assert 1 <= len(text) <= (150 if block["type"] == "header" else 3000)
        if kind == "mrkdwn":
            controls = re.findall("<[^<>]*>", text)
            assert all(re.fullmatch(r"<https?://[^<>|\s]+\|[\w ]+>", each) for each in controls), controls


def check_discord(payload: dict[str, Any]) -> None:
    """https://docs.discord.com/developers/resources/message#embed-object-embed-limits"""
    assert payload["allowed_mentions"] == {"parse": []}
    (embed,) = payload["embeds"]
    assert 1 <= len(embed["title"]) <= 256
    assert 1 <= len(embed["description"]) <= 4096
    assert len(embed["fields"]) <= 25
    for each in embed["fields"]:
        assert 1 <= len(each["name"]) <= 256
        assert 1 <= len(each["value"]) <= 1024
    total = sum(len(each["name"] + each["value"]) for each in embed["fields"])
    assert len(embed["title"] + embed["description"]) + total <= 6000


def check_teams(payload: dict[str, Any]) -> None:
    """https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using"""
    assert len(json.dumps(payload)) < 28 * 1024
    assert (payload["type"], len(payload["attachments"])) == ("message", 1)
    attachment = payload["attachments"][0]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    library = npm.file(*npm.ADAPTIVE_CARDS)
    script = Path(npm.__file__).with_name("adaptive_card.js")
    card = attachment["content"]
    ended = subprocess.run(
        ["node", str(script), str(library)], input=json.dumps(card), capture_output=True, text=True, check=True, timeout=60
    )
    said = json.loads(ended.stdout)
    assert said["objections"] == []
    # What the reader does not know it would leave out.
    assert {key: said["understood"].get(key) for key in ("body", "actions")} == {key: card[key] for key in ("body", "actions")}


@pytest.mark.parametrize("message", [LONG, HOSTILE], ids=["long", "hostile"])
def test_payloads_fit_their_services(message: Message) -> None:
    check_slack(payloads.slack(message))
    check_discord(payloads.fitting(message, payloads.discord, payloads.fits_discord))
    check_teams(payloads.fitting(message, payloads.teams, payloads.fits_teams))


@settings(max_examples=2 * settings().max_examples)
@given(
    st.lists(st.text(st.sampled_from("<>&|*_`~[]()!@{}\\#:/. aé😀\n")), min_size=5, max_size=5), st.sampled_from(sorted(WORDS))
)
def test_text_from_outside_stays_text_and_within_limits(texts: list[str], event: str) -> None:
    title, lead, evidence, fact, command = (text.replace("\n", " ") or "x" for text in texts)
    message = Message(
        event, title, lead, evidence, (("Changes", fact),), (("Logs", "https://example.com/a?b=1&c=(2)"),), command
    )
    check_slack(payloads.slack(message))
    check_discord(payloads.fitting(message, payloads.discord, payloads.fits_discord))
    parsed = MarkdownIt().parse(payloads.commonmark(message, 0))
    inlines = [child for token in parsed for child in token.children or []]
    assert {child.type for child in inlines} <= {"text", "text_special", "link_open", "link_close", "softbreak"}
    assert [child.attrs["href"] for child in inlines if child.type == "link_open"] == ["https://example.com/a?b=1&c=%282%29"]
    assert [token.content.strip("\n") for token in parsed if token.type == "fence"] == [evidence, command]


@pytest.mark.parametrize("limit", [10, 100, 160, 400, 1024, 2000, 4000])
def test_text_for_a_small_service_keeps_the_first_link(limit: int) -> None:
    link = "https://github.com/octo-org/shop/actions/runs/1"
    message = Message(
        "failed", "shop in production failed", "Commit 1 failed.", "e" * 1500, (("Ask", "@a"),), (("Logs", link),)
    )
    text = payloads.commonmark(message, limit)
    assert len(text) <= limit
    assert limit < len(link) + 10 or link in text


def test_every_event_has_a_sign() -> None:
    assert set(SIGNS) == set(WORDS)
