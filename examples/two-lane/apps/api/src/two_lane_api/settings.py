"""What the service is told from outside: environment variables, or files in /run/secrets."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

_SECRETS = Path("/run/secrets")
_ASYNC_DRIVERS = {"postgresql": "asyncpg", "postgres": "asyncpg", "sqlite": "aiosqlite"}


class Settings(BaseSettings):
    """Every variable the service reads. `SECRETS.md` of this repository lists the same names.

    A variable can also be a file of its name in `/run/secrets` (Docker and Swarm secrets); the
    environment wins. Raises `pydantic.ValidationError` for a value that cannot be used, without
    repeating the value.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        secrets_dir=_SECRETS if _SECRETS.is_dir() else None,
    )

    database_url: SecretStr = SecretStr("sqlite+aiosqlite:///./two-lane.db")
    redis_url: SecretStr | None = None
    release_sha: str = "dev"
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins whose pages may call this api, separated by commas: `https://a.example,https://b.example`."""
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    readiness_timeout: float = Field(default=2.0, gt=0, le=30)
    """Seconds that one readiness check may take."""

    @field_validator("database_url")
    @classmethod
    def _is_a_database_url(cls, value: SecretStr) -> SecretStr:
        try:
            make_url(value.get_secret_value())
        except ArgumentError:
            # The original message repeats the URL, password included.
            raise ValueError(
                "not a database URL; expected e.g. postgresql+asyncpg://user:password@host/name"
            ) from None
        return value

    @field_validator("redis_url", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @cached_property
    def sqlalchemy_url(self) -> URL:
        """The database's URL with an async driver: platforms hand out a bare `postgresql://…`."""
        url = make_url(self.database_url.get_secret_value())
        driver = _ASYNC_DRIVERS.get(url.drivername)
        return url.set(drivername=f"{_dialect(url)}+{driver}") if driver else url


def _dialect(url: URL) -> str:
    return "postgresql" if url.drivername == "postgres" else url.drivername
