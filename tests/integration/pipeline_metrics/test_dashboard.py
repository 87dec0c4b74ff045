"""The dashboard in a real browser: its figures are the action's, it answers to mouse and keyboard, and it loads nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.github import FakeGitHub
from tests.fakes.github.actions import Ran
from tests.harness.browser import Browser
from tests.harness.pipelines import DAY, Pipelines, many, sha

NASTY = "<img src=x onerror=\"document.title='pwned'\"></script><script>document.title='pwned'</script>"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dashboard of two repositories, one of them with records, and with hostile names."""
    folder, now = tmp_path_factory.mktemp("site"), int(time.time())
    with FakeGitHub() as github:
        made = Pipelines(github)
        first, second = many(made, 400, now)
        made.commits(first, {sha(number): now - (61 - number) * DAY for number in range(60)})
        for number in range(3, 60, 3):
            made.record(first, now - (60 - number) * DAY, sha(number), passed=number != 30)
        made.record(first, now - DAY, sha(57), passed=False, kind="rollback")
        made.record(first, now - DAY, sha(54), kind="rollback")
        for number in range(12):
            jobs = [Ran(NASTY, "failure", steps=[(NASTY, "failure", 5)])]
            made.run(second, now - 5 * DAY - number, name=NASTY, branch=NASTY, conclusion="failure", jobs=jobs)
        about = {"repositories": f"{first}\n{second}", "request-budget": "1000"}
        ended = made.measure(folder, {**about, "dashboard": str(folder), "export": str(folder)})
        assert ended.code == 0, ended.log
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as made:
        yield made


@pytest.fixture
def page(browser: Browser, site: Path) -> Browser:
    browser.messages.clear()
    browser.open(site / "index.html")
    return browser


def figures(page: Browser) -> dict[str, dict[str, Any]]:
    script = "[...document.querySelectorAll('.card')].map(each => ({...each.dataset}))"
    return {each["metric"]: each for each in page.value(script)}


def choose(page: Browser, name: str, text: str) -> None:
    chosen = (
        f"(() => {{ const one = document.getElementById('{name}');"
        f" one.value = [...one.options].find(each => each.text === {json.dumps(text)}).value;"
        " one.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )
    page.value(chosen)


def test_page_shows_the_figures_that_the_action_computed(page: Browser, site: Path) -> None:
    wanted = json.loads((site / "figures.json").read_text("utf-8"))["figures"]
    shown = figures(page)
    assert len(shown) == 9
    for key, each in shown.items():
        value, n = wanted[key]["value"], wanted[key]["n"]
        assert int(each["n"]) == n, key
        assert each["value"] == "" if value is None else float(each["value"]) == pytest.approx(value), key
    assert wanted["success-rate"]["value"] is not None
    assert float(shown["duration-p50"]["second"]) == pytest.approx(wanted["duration-p90"]["value"])


def test_page_loads_nothing_and_runs_no_name(page: Browser, site: Path) -> None:
    assert page.requests == [(site / "index.html").as_uri()]
    assert page.messages == []
    assert page.value("document.title") == "Pipelines"
    choose(page, "workflow", NASTY)
    assert page.value("document.querySelectorAll('img, main script').length") == 0
    assert NASTY in page.value("document.getElementById('steps').textContent")
    assert page.value("fetch('https://example.com').then(() => 'loaded', () => 'refused')") == "refused"


def test_filters_change_figures_runs_and_the_address(page: Browser, site: Path) -> None:
    before = figures(page)
    choose(page, "repository", "org/app-1")
    choose(page, "time", "last 30 days")
    after = figures(page)
    assert int(after["success-rate"]["n"]) < int(before["success-rate"]["n"])
    assert after["deployments-per-week"]["n"] == "0"
    links = page.value("[...document.querySelectorAll('#runs a')].map(each => each.href)")
    assert links
    assert all(link.startswith("https://github.com/org/app-1/actions/runs/") for link in links)
    fragment = page.value("location.hash")
    page.open(site / "index.html", fragment)
    assert figures(page) == after
    page.value("document.querySelector('#filters button').click()")
    assert figures(page) == before


def test_number_leads_to_its_runs(page: Browser) -> None:
    n = int(page.value("document.querySelector('[data-metric=success-rate] button').textContent.match(/[0-9]+/)[0]"))
    page.value("document.querySelector('[data-metric=success-rate] button').click()")
    assert page.value("document.getElementById('listed').textContent") == f"Failed runs: {n}"
    results = page.value("[...document.querySelectorAll('#runs tbody tr')].map(row => row.cells[3].textContent)")
    assert results
    assert all(text.startswith("failed") for text in results)
    assert page.value("document.activeElement.id") == "list"


def test_keyboard_reaches_filters_bars_and_deployments(page: Browser) -> None:
    page.value("document.getElementById('repository').focus()")
    page.press("ArrowDown")
    assert page.value("document.getElementById('repository').value") != "-1"
    page.value("document.querySelector('#filters button').click(); document.querySelector('#results-chart a').focus()")
    label = page.value("document.activeElement.getAttribute('aria-label')")
    page.press("Enter")
    listed = page.value("document.getElementById('listed').textContent")
    assert listed.startswith(f"Runs from {label[:10]} ")
    page.value("document.querySelector('#results-chart a').focus()")
    page.press("Tab")
    assert page.value("document.activeElement.getAttribute('aria-label')") != label


def test_deployments_and_rollbacks_are_marked_and_linked(page: Browser) -> None:
    marked = "[...document.querySelectorAll('.deployment')]"
    marks = page.value(f"{marked}.map(each => [each.getAttribute('aria-label'), each.getAttribute('href')])")
    labels = [label for label, _ in marks]
    assert len([label for label in labels if label.endswith("failed its gate")]) == 1
    assert len([label for label in labels if label.endswith(" rolled back")]) == 1
    assert len(marks) == 20
    assert all("/org/app-0/actions/runs/" in url for _, url in marks)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(page: Browser, scheme: str) -> None:
    page.scheme(scheme)

    def luminance(selector: str, name: str) -> float:
        color = (
            page.value(f"getComputedStyle(document.querySelector({selector!r})).{name}").split("(")[1].rstrip(")").split(",")
        )
        parts = [int(part) / 255 for part in color[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    back = luminance("body", "backgroundColor")
    assert (back > 0.5) is (scheme == "light")
    for selector in ("h1", ".note", "td a", "td.red", "td.green", ".card p:last-of-type"):
        pair = sorted([luminance(selector, "color"), back])
        # https://www.w3.org/TR/WCAG22/#contrast-minimum
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, selector
    page.scheme("light")


def test_phone_shows_the_page_without_scrolling_sideways(page: Browser, site: Path) -> None:
    page.resize(390, 844, phone=True)
    page.open(site / "index.html")
    assert page.value("document.documentElement.scrollWidth") == 390
    assert page.value("document.querySelector('#results-chart svg').getBoundingClientRect().width") <= 390
    page.resize(1280, 900)
