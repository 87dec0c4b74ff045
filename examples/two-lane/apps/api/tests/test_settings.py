from __future__ import annotations

import pytest
from pydantic import ValidationError

from two_lane_api.settings import Settings


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("postgresql://u:p@db/app", "postgresql+asyncpg"),
        ("postgres://u:p@db/app", "postgresql+asyncpg"),
        ("postgresql+psycopg://u:p@db/app", "postgresql+psycopg"),
        ("sqlite:///./x.db", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:///./x.db", "sqlite+aiosqlite"),
    ],
)
def test_a_database_url_gets_an_async_driver(
    monkeypatch: pytest.MonkeyPatch, given: str, driver: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", given)
    assert Settings().sqlalchemy_url.drivername == driver


def test_what_cannot_be_used_is_refused_without_repeating_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "my-password-by-mistake")
    with pytest.raises(ValidationError, match="not a database URL") as caught:
        Settings()
    assert "my-password-by-mistake" not in str(caught.value)


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:a-password@db/app")
    monkeypatch.setenv("REDIS_URL", "redis://:a-password@cache/0")
    assert "a-password" not in repr(Settings())
    assert "a-password" not in repr(Settings().sqlalchemy_url)


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example, https://b.example,")
    assert Settings().cors_origins == ("https://a.example", "https://b.example")


def test_an_empty_redis_url_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "")
    assert Settings().redis_url is None
