# SPDX-License-Identifier: GPL-3.0-or-later
"""What a session can be for, and what its token may do: all that depends on the verb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Use = Literal["nothing", "writes", "reads"]

# What a session of that verb does with its image: makes a new version, or reads one.
VERBS: Mapping[str, Use] = {
    "backup": "writes",
    "restore": "reads",
    "verify": "reads",
    "service": "nothing",
}


def that(use: Use) -> tuple[str, ...]:
    """The verbs that do this with their image."""
    return tuple(verb for verb, what in VERBS.items() if what == use)
