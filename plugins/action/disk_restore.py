# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action: write an image back to a machine's disks and show the progress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.imaging.plugins.plugin_utils._differences import diffs
from ansible_collections.slipway.imaging.plugins.plugin_utils._follow import Ending
from ansible_collections.slipway.imaging.plugins.plugin_utils._job_action import JobAction


class ActionModule(JobAction):
    """Runs the module disk_restore and follows the agent's restore."""

    module_name = "disk_restore"
    playbook = "restore.yml"

    def outcome(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Add the diff of each partition in diff mode."""
        result = super().outcome(record)
        if self._task.diff:
            result["diff"] = diffs(record)
        return result

    def error_state(self, host: str, ending: Ending) -> str:
        """Say whether writing had begun: before that, everything is as it was."""
        return self.disk_state(host, ending) if ending.last_phase == "restore" else ""

    def disk_state(self, host: str, ending: Ending) -> str:
        """Say whether the disk may be half written."""
        if self._task.check_mode:
            return "Nothing was written: this was check mode."
        if ending.last_phase == "grow":
            return (
                f"The disks of {host} are restored and boot; a file system was still growing. Run"
                " playbooks/restore.yml for it again."
            )
        return (
            f"Treat the disks of {host} as half written: they will not boot until"
            " playbooks/restore.yml has been run for it again, which finishes the job."
        )
