# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as the API and the manifests write them."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def wall() -> float:
    """What time it is, in seconds since the epoch."""
    return time.time()


def seconds(text: str) -> float | None:
    """What `iso` made, as seconds since the epoch; None: it is no time."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def iso(moment: float) -> str:
    """Seconds since the epoch in UTC, to the second."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
