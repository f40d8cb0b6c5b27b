# SPDX-License-Identifier: GPL-3.0-or-later
"""What several subjects share: strict requests, refusals, names and bounded objects."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from slipway.format.names import check_digest, check_mac, check_name, check_version

MAX_HARDWARE = 64 << 10
_MAX_DEPTH = 16


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


def bounded(limit: int) -> Callable[[Any], Any]:
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
Hardware = Annotated[dict[str, Any], BeforeValidator(bounded(MAX_HARDWARE))]


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


class Empty(Strict):
    """An empty object."""
