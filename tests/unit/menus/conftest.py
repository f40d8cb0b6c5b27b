# SPDX-License-Identifier: GPL-3.0-or-later
"""Menus that tests start from."""

from __future__ import annotations

from typing import Any

LOCAL = {"id": "local", "action": "local_disk"}


def data(*items: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Variables of a menu, without their prefix, with a local disk first."""
    return {
        "title": "Slipway",
        "timeout": 5,
        "default": "local",
        "items": [LOCAL, *items],
    } | changes
