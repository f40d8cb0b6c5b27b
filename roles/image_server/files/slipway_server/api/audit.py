# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit, for who reads it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Query as Parameter
from pydantic import BaseModel, Field

from .callers import AS_ROOT
from .common import ServiceDep, refusals

admin = APIRouter(prefix="/v1", dependencies=[AS_ROOT])


class AuditLine(BaseModel):
    """One action of a person."""

    number: int
    at: str
    who: str
    role: str
    where: str
    verb: str
    subject: str
    outcome: str = Field(description="done, or the type of the refusal")
    before: str | None
    after: str | None = Field(description="what was asked for, where it was refused")


class AuditLines(BaseModel):
    """Lines, oldest first."""

    lines: list[AuditLine]


@admin.get("/audit", response_model=AuditLines, responses=refusals())
async def read_audit(
    service: ServiceDep,
    most: Annotated[int, Parameter(ge=1, le=10_000)] = 100,
    before: Annotated[int | None, Parameter(ge=0, description="a line's number")] = None,
) -> Any:
    """The newest lines; with ``before`` those that came before one."""
    return {"lines": await service.run(service.audit.read, most, before)}
