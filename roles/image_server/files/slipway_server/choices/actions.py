# SPDX-License-Identifier: GPL-3.0-or-later
"""What an item of a menu can ask the server for: all that depends on the action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..sessions.verbs import Use


@dataclass(frozen=True)
class Action:
    """What becomes of the item's image, and whether the permission is all there is to it."""

    image: Use = "nothing"
    # A shell needs no playbook: its job is done as soon as it is allowed.
    granted: bool = False


ACTIONS: Mapping[str, Action] = {
    "backup": Action(image="writes"),
    "restore": Action(image="reads"),
    "rescue_shell": Action(granted=True),
}
