# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action: show a machine's disks, as plain data."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._machine_action import MachineAction
from ansible_collections.slipway.imaging.plugins.plugin_utils._plain import NotPlain, allowed


class ActionModule(MachineAction):
    """Runs the module disk_info and passes on what may be passed on."""

    def act(self, host: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the disks."""
        try:
            answer = self.module("disk_info", self._task.args, task_vars)
        except AnsibleConnectionFailure as failure:
            raise SlipwayError(
                f"{host} does not answer: {clean(failure, 300)}",
                f"See whether {host} is on and in the imaging environment.",
                "machine_lost",
            ) from failure
        if "disks" not in answer:
            raise NotPlain("it names no disks")
        return {"changed": False, **allowed(answer, {"disks": list})}
