# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action: compare a machine's disks with an image and show the progress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.imaging.plugins.plugin_utils._follow import Ending
from ansible_collections.slipway.imaging.plugins.plugin_utils._job_action import JobAction


class ActionModule(JobAction):
    """Runs the module disk_compare and follows the agent's comparison."""

    module_name = "disk_compare"
    playbook = "verify.yml"

    def outcome(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Report what differs apart from `changed`: a comparison changes nothing."""
        return {"changed": False, "differs": self.has_changed(record)}

    def disk_state(self, host: str, ending: Ending) -> str:
        """Say that nothing was touched."""
        return "Nothing was written."
