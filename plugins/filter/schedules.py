# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters: whom schedules name, and whom of them the server can't wake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.slipway.imaging.plugins.plugin_utils._schedule_machines import (
    schedule_machines,
    schedule_relays,
)


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names."""
        return {"schedule_machines": schedule_machines, "schedule_relays": schedule_relays}
