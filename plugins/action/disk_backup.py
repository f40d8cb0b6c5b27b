# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action: save a machine's disks and show the progress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.imaging.plugins.plugin_utils._follow import Ending
from ansible_collections.slipway.imaging.plugins.plugin_utils._job_action import JobAction
from ansible_collections.slipway.imaging.plugins.plugin_utils._plain import allowed


class ActionModule(JobAction):
    """Runs the module disk_backup and follows the agent's backup."""

    module_name = "disk_backup"
    playbook = "backup.yml"

    def without_job(self, host: str, started: Mapping[str, Any]) -> dict[str, Any]:
        """Return what check mode found; otherwise a backup that started nothing is none."""
        if not self._task.check_mode or "disks" not in started:
            return super().without_job(host, started)
        found = allowed(started, {"image": str, "disks": list})
        return {"changed": True, **found}

    def error_state(self, host: str, ending: Ending) -> str:
        """Say that there is no version."""
        return "No version was published."

    def disk_state(self, host: str, ending: Ending) -> str:
        """Say what is in the store: the disk was only read."""
        if ending.last_phase == "publish":
            return (
                "The new version was just being published: playbooks/images.yml shows it if that"
                " succeeded. Older versions are untouched."
            )
        return (
            "No version was published; older versions and the disk are untouched, and the next"
            " backup sends only what is missing."
        )
