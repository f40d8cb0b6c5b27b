# SPDX-License-Identifier: GPL-3.0-or-later
"""What requests and answers look like: the OpenAPI description is made of these."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from slipway.format.names import check_digest, check_mac, check_name, check_version

from .stranger_models import StrangerView

MAX_HARDWARE = 64 << 10
MAX_PROGRESS = 16 << 10
MAX_RESULT = 512 << 10
MAX_QUERY = 4096
_MAX_DEPTH = 16

Verb = Literal["backup", "restore", "verify", "service"]
State = Literal["requested", "checked_in", "ended"]
Outcome = Literal["done", "failed", "abandoned", "expired", "cancelled"]


def _machine_name(text: str) -> str:
    return check_name(text, "machine")


def _depth(value: Any) -> int:
    """Nesting of a JSON value, found without recursion."""
    deepest, level = 0, [value]
    while level and deepest <= _MAX_DEPTH:
        deepest += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return deepest


def _bounded(limit: int) -> Callable[[Any], Any]:
    """A check that an object is plain JSON, not deep, and at most so many bytes of UTF-8."""

    def check(value: Any) -> Any:
        if not isinstance(value, dict):
            # A body whose type is not JSON comes as bytes; what follows this check refuses it.
            return value
        if _depth(value) > _MAX_DEPTH:
            raise ValueError(f"is nested deeper than {_MAX_DEPTH}")
        try:
            size = len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode())
        except ValueError as error:
            raise ValueError("holds a number or a text that is no JSON in UTF-8") from error
        if size > limit:
            raise ValueError(f"has {size} bytes, at most {limit} are taken")
        return value

    return check


def _host_key(text: str) -> str:
    kind, _, encoded = text.partition(" ")
    blob = base64.b64decode(encoded, validate=True)
    if blob[4 : 4 + len(kind)] != kind.encode() or blob[:4] != len(kind).to_bytes(4, "big"):
        raise ValueError("is no SSH public key")
    return text


MachineName = Annotated[str, AfterValidator(_machine_name)]
ImageName = Annotated[str, AfterValidator(check_name)]
Version = Annotated[str, AfterValidator(check_version)]
Digest = Annotated[
    str, Field(min_length=64, max_length=64, pattern="^[0-9a-f]{64}$"), AfterValidator(check_digest)
]
Mac = Annotated[str, AfterValidator(check_mac)]
Macs = Annotated[list[Mac], Field(min_length=1, max_length=16)]
HostKey = Annotated[
    str,
    Field(
        max_length=1024,
        pattern=r"^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]{40,}={0,2}$",
        description="type and base64, no comment",
    ),
    AfterValidator(_host_key),
]
Nonce = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{22,128}$")]
Hardware = Annotated[dict[str, Any], BeforeValidator(_bounded(MAX_HARDWARE))]
ProgressRecord = Annotated[dict[str, Any], BeforeValidator(_bounded(MAX_PROGRESS))]
ResultRecord = Annotated[dict[str, Any], BeforeValidator(_bounded(MAX_RESULT))]


class Strict(BaseModel):
    """A request: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _first_unknown_key(cls, value: Any) -> Any:
        """Leave one unknown key of all: that is refused, and a thousand cost no more than it."""
        if not isinstance(value, dict) or len(value) <= len(cls.model_fields):
            return value
        unknown = next((key for key in value if key not in cls.model_fields), None)
        known = {key: value[key] for key in cls.model_fields if key in value}
        return known if unknown is None else known | {unknown: value[unknown]}


class ErrorBody(BaseModel):
    """Every refusal. Some types carry more keys."""

    model_config = ConfigDict(extra="allow")

    error: str
    message: str
    remedy: str


class Problem(BaseModel):
    """Something wrong with an image."""

    digest: str | None = Field(description="the chunk; null if it is the manifest itself")
    problem: str


class ImageCheck(BaseModel):
    """The read-through of a version."""

    state: Literal["running", "sound", "broken"]
    bytes_done: int
    bytes_total: int
    problems: list[Problem] = Field(description="the first 100")
    problem_count: int


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


class Empty(Strict):
    """An empty object."""


class Query(Strict):
    """Which of these chunks are missing?"""

    digests: Annotated[list[Digest], Field(max_length=MAX_QUERY)]
    proofs: (
        Annotated[
            list[Annotated[str, Field(min_length=32, max_length=32, pattern="^[0-9a-f]{32}$")]],
            Field(max_length=MAX_QUERY),
        ]
        | None
    ) = Field(
        default=None,
        description="for each digest, in order, the proof that its content is there: PROTOCOL.md",
    )

    @model_validator(mode="after")
    def _paired(self) -> Query:
        if self.proofs is not None and len(self.proofs) != len(self.digests):
            raise ValueError("proofs: there must be one for each digest")
        return self


class Missing(BaseModel):
    """Those that have to be sent."""

    missing: list[str]


class Kept(BaseModel):
    """A chunk that the store has."""

    digest: str
    new: bool


class Published(BaseModel):
    """A version that exists."""

    name: str
    version: str
    warning: str | None = Field(
        default=None, description="why the version says another time than the server's"
    )


class DiskSummary(BaseModel):
    """A disk of a version."""

    id: str
    size: int
    bytes: int
    model: str
    serial: str


class VersionSummary(BaseModel):
    """A version in a list."""

    version: str
    created: str
    bytes: int = Field(description="bytes of the disks that the version holds")
    stored: int = Field(description="bytes of its chunk files, each once")
    unreadable: int = Field(description="bytes that the source disks could not read: zeros here")
    degraded: bool = Field(description="whether there are any; restored only when told to")
    machine: str
    agent_version: str
    disks: list[DiskSummary]
    problem: str | None
    ahead: bool = Field(description="whether it says a time to come: a clock was wrong")


class Image(BaseModel):
    """An image, newest version first."""

    name: str
    versions: list[VersionSummary]


class ImageList(BaseModel):
    """Images with their versions."""

    images: list[Image]


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


class Status(BaseModel):
    """How the service is."""

    version: str
    started: str
    sessions: dict[str, int] = Field(description="number of sessions by state")
    images: int
    store_free: int
    store_total: int
    store_reserve: int
    warnings: list[str] = Field(description="what the administrator should see to soon")
