# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC that asks to become a machine: what identifies it, and what it may be called.

Pure: nothing here reads a clock, a file or a socket. What a PC says is data; it is cut to length
and checked by registration_models before it comes here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipway.format.names import is_name

STATES = ("waiting", "approved", "refused")
# How what a PC says compares with what its machine was: `compare`.
KNOWN, NEW, NONE, ANOTHER = "known", "new", "none", "another"

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Constants that firmware vendors forgot to replace, each on thousands of boards.
_USELESS_UUIDS = {
    "03000200-0400-0500-0006-000700080009",
    "00020003-0004-0005-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
    "11111111-2222-3333-4444-555555555555",
    "4c4c4544-0000-2010-8020-80c04f202020",
    "44454c4c-0000-1020-8020-80c04f202020",
    "10000000-0000-8000-0040-000000000000",
    "01020304-0506-0708-090a-0b0c0d0e0f10",
}
_USELESS_SERIALS = {
    "default string",
    "empty",
    "invalid",
    "n/a",
    "na",
    "none",
    "not applicable",
    "not available",
    "not specified",
    "o.e.m.",
    "oem",
    "serial",
    "serial number",
    "system serial number",
    "to be filled by o.e.m.",
    "unknown",
    "0123456789",
    "1234567890",
    "123456789",
    "12345678",
    "1234567",
    "123456",
}
_NO_LETTER = re.compile(r"[^a-z0-9]+")
_LONGEST_PART = 32
_LONGEST_NAME = 63


@dataclass(frozen=True)
class Identity:
    """What tells one PC from another. None: the firmware says nothing that would."""

    macs: tuple[str, ...]
    uuid: str | None = None
    serial: str | None = None
    # Whether an administrator stands behind it: by a session of his, or by approving it.
    confirmed: bool = False


@dataclass(frozen=True)
class Registration:
    """One PC in the queue. Times are seconds since the epoch."""

    id: str
    macs: tuple[str, ...]
    name: str
    hardware: Mapping[str, Any]
    address: str | None
    agent_version: str
    created: float
    nonce_hash: str
    token_hash: str
    state: str = "waiting"
    machine: str | None = None
    reason: str | None = None
    decided_at: float | None = None
    # Reports of other PCs that claimed one of its MACs while it was waiting.
    refused_reports: int = 0
    refused_from: str | None = None
    # The machine that somebody wants it to be, and who: register.yml makes it that.
    wish: str | None = None
    wished_by: str = ""

    @property
    def identity(self) -> Identity:
        """What tells it from others."""
        return identity(self.macs, self.hardware)


def identity(macs: tuple[str, ...], hardware: Mapping[str, Any]) -> Identity:
    """Take from a report what identifies the PC."""
    return Identity(
        macs, useful_uuid(hardware.get("uuid", "")), useful_serial(hardware.get("serial", ""))
    )


def compare(before: Identity | None, now: Identity) -> str:
    """Tell whether a PC is the one that its machine was.

    Firmware can lie: KNOWN stops a PC whose card was exchanged or whose address was copied, and an
    attacker who has not seen the machine itself. NEW: no administrator has stood behind it yet.
    """
    if before is not None:
        pairs = ((before.uuid, now.uuid), (before.serial, now.serial))
        if any(was is not None and was != found for was, found in pairs):
            return ANOTHER
    if now.uuid is None and now.serial is None:
        return NONE
    was_said = before is not None and (before.uuid, before.serial) != (None, None)
    return KNOWN if before is not None and was_said and before.confirmed else NEW


def may_be(pinned: Identity | None, said: Identity) -> bool:
    """Whether a PC may be the one that the inventory describes; of one that it does not, any."""
    if pinned is None:
        return True
    pairs = ((pinned.uuid, said.uuid), (pinned.serial, said.serial))
    return all(wanted is None or wanted == found for wanted, found in pairs)


def apart(one: Identity | None, other: Identity | None) -> bool:
    """Whether no PC may be both: then they may share a card, that of a dock or an adapter."""
    if one is None or other is None:
        return False
    pairs = ((one.uuid, other.uuid), (one.serial, other.serial))
    return any(None not in pair and pair[0] != pair[1] for pair in pairs)


def useful_uuid(value: object) -> str | None:
    """The UUID in lower case, or None when it says nothing: zeros, Fs, a vendor's constant."""
    text = value.strip().lower() if isinstance(value, str) else ""
    if not _UUID.fullmatch(text) or text in _USELESS_UUIDS:
        return None
    return text if len(set(text.replace("-", ""))) > 2 else None


def useful_serial(value: object) -> str | None:
    """The serial number, or None when the vendor left a phrase or a row of equal characters."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    plain = text.lower()
    if plain in _USELESS_SERIALS or len(set(plain) - set(" .-_")) < 2:
        return None
    return text


def suggest(
    pattern: str, macs: tuple[str, ...], hardware: Mapping[str, Any], taken: set[str]
) -> str:
    """A name for the PC that no other in the queue has."""
    found = identity(macs, hardware)
    mac = macs[0].replace(":", "")
    parts = {
        "serial": _slug(found.serial) or mac[-6:],
        "mac": mac[-6:],
        "uuid": (found.uuid or mac)[:8],
        "model": _slug(hardware.get("model")) or "pc",
    }
    name = pattern
    for key, value in parts.items():
        name = name.replace(f"{{{key}}}", value)
    name = name[:_LONGEST_NAME].rstrip("-")
    if is_name(name) and name not in taken:
        return name
    # The whole address: at most one PC in the queue has it.
    return f"{name[: _LONGEST_NAME - 13].rstrip('-') or 'pc'}-{mac}"


def _slug(value: object) -> str:
    text = value.lower() if isinstance(value, str) else ""
    return _NO_LETTER.sub("-", text)[:_LONGEST_PART].strip("-")
