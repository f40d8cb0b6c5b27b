# SPDX-License-Identifier: GPL-3.0-or-later
"""A session as the API shows it."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..base.times import iso
from .session import Session

_PRIVATE = {
    "nonce_hash",
    "token_hash",
    "token_used",
    "ticket_hash",
    "ticket_address",
    "manifest_hash",
    "ttl_seconds",
    "publish_strikes",
}
_TIMES = ("created", "checked_in_at", "last_heard", "ended_at")


def view(item: Session) -> dict[str, Any]:
    """No hash of a secret, times in ISO form."""
    shown = {key: value for key, value in dataclasses.asdict(item).items() if key not in _PRIVATE}
    shown["macs"] = list(item.macs)
    for key in _TIMES:
        shown[key] = None if shown[key] is None else iso(shown[key])
    return shown
