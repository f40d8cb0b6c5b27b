# SPDX-License-Identifier: GPL-3.0-or-later
"""What requests and answers about sessions look like."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from ...sessions.verbs import VERBS
from .common import Hardware, HostKey, ImageName, MachineName, Macs, Nonce, Strict, Version, bounded
from .images import ImageCheck
from .strangers import StrangerView

MAX_PROGRESS = 16 << 10
MAX_RESULT = 512 << 10


def _verb(text: str) -> str:
    if text not in VERBS:
        raise ValueError(f"is none of {', '.join(VERBS)}")
    return text


Verb = Annotated[str, AfterValidator(_verb), Field(json_schema_extra={"enum": list(VERBS)})]
State = Literal["requested", "checked_in", "ended"]
Outcome = Literal["done", "failed", "abandoned", "expired", "cancelled"]

ProgressRecord = Annotated[dict[str, Any], BeforeValidator(bounded(MAX_PROGRESS))]
ResultRecord = Annotated[dict[str, Any], BeforeValidator(bounded(MAX_RESULT))]


class CheckInRequest(Strict):
    """What a machine reports when it arrives."""

    session: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    macs: Macs
    host_key: HostKey
    hardware: Hardware = Field(default_factory=dict)
    agent_version: Annotated[str, Field(pattern="^[A-Za-z0-9.+~_-]{1,64}$")]
    nonce: Nonce | None = Field(
        default=None,
        description="random, made once per boot: lets a machine that lost the answer ask again",
    )
    ticket: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{22,64}$")] | None = Field(
        default=None, description="slipway.ticket of the kernel command line"
    )


class PendingRequest(Strict):
    """Who asks whether a session waits for it, with what it checked in with for its last one."""

    macs: Macs
    nonce: Nonce | None = None
    host_key: HostKey | None = None


class Pending(BaseModel):
    """The session that waits for a machine."""

    session: str | None


class SessionBrief(BaseModel):
    """What a machine is told about its session."""

    id: str
    machine: str
    verb: Verb
    image: str | None
    version: str | None
    postponable: bool = Field(description="whether somebody at the machine may say: later")


class CheckInAnswer(BaseModel):
    """The token: it is given once."""

    token: str
    session: SessionBrief


class OwnSession(BaseModel):
    """A machine's own view of its session."""

    machine: str
    verb: Verb
    image: str | None
    version: str | None
    state: State
    image_check: ImageCheck | None
    proof_nonce: str = Field(description="what proofs for chunks are made with: PROTOCOL.md")


class NewSession(Strict):
    """What the administrator asks for."""

    machine: MachineName
    macs: Macs
    verb: Verb
    image: ImageName | None = None
    version: Version | None = None
    ttl_seconds: Annotated[int, Field(ge=1, le=86400)] = 600
    job: Annotated[str, Field(pattern="^[0-9a-f]{16}$")] | None = Field(
        default=None,
        description="the job that this session is for: its machine is in the environment already",
    )
    full_check: bool = Field(
        default=False,
        description="read every chunk of the image first, also what was found sound lately",
    )


class SessionView(BaseModel):
    """Everything the administrator sees of a session."""

    id: str
    machine: str
    macs: list[str]
    verb: Verb
    image: str | None
    version: str | None
    state: State
    outcome: Outcome | None
    created: str
    checked_in_at: str | None
    last_heard: str | None
    ended_at: str | None
    address: str | None
    host_key: str | None
    hardware: dict[str, Any]
    agent_version: str | None
    boot_script_served: int
    job: str | None
    refused_checkins: int
    refused_from: str | None = Field(description="address of the last refused check-in")
    identity: Literal["known", "new", "none"] | None = Field(
        description="known: UUID and serial number are those that an administrator stands behind; "
        "new: they are seen for the first time; none: the firmware says nothing that identifies"
    )
    strangers: list[StrangerView] = Field(description="since the service was started")
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    image_check: ImageCheck | None


class SessionList(BaseModel):
    """Sessions, oldest first."""

    sessions: list[SessionView]
