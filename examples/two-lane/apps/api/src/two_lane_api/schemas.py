"""What goes over the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic.json_schema import SkipJsonSchema

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Description = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)]


class ItemCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name
    description: Description | None = None


class ItemUpdate(BaseModel):
    """Fields that are left out stay as they are; `description: null` removes it."""

    model_config = ConfigDict(extra="forbid")

    name: Name | SkipJsonSchema[None] = None
    description: Description | None = None

    @field_validator("name")
    @classmethod
    def _left_out_or_a_name(cls, value: str | None) -> str:
        if value is None:
            raise ValueError("a name cannot be null; leave it out to keep it")
        return value


class ItemRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    description: str | None
    created_at: AwareDatetime
    updated_at: AwareDatetime

    @field_validator("updated_at", mode="before")
    @classmethod
    def _never_updated(cls, value: object, info: ValidationInfo) -> object:
        return info.data.get("created_at") if value is None else value


class ItemPage(BaseModel):
    """Newest first. `next_before` is the `before` of the next page, null on the last one."""

    items: list[ItemRead]
    next_before: int | None


class FieldProblem(BaseModel):
    """Where in the request (`body.name`), and what is wrong there."""

    where: str
    message: str


class Problem(BaseModel):
    """An error, as RFC 9457 (application/problem+json) has it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = []


class Liveness(BaseModel):
    status: Literal["live"] = "live"
    version: str


class Startup(BaseModel):
    status: Literal["started", "starting"]
    version: str


class Check(BaseModel):
    """`degraded`: it does not work, and the service does without."""

    status: Literal["ok", "degraded", "failed"]
    detail: str


class Readiness(BaseModel):
    status: Literal["ready", "unready"]
    version: str
    checks: dict[str, Check]
