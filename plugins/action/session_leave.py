# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action: tell a machine what to do after its session, and forget its host key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.utils.display import Display
from ansible_collections.slipway.imaging.plugins.module_utils._errors import clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._host_key_file import forget_host_key
from ansible_collections.slipway.imaging.plugins.plugin_utils._machine_action import MachineAction

STAY = "stay"
# A second's grace lets the answer out before the network goes. The timer is systemd's, so that the
# order outlives the connection that gave it.
_LATER = "systemd-run --quiet --on-active=1 --timer-property=AccuracySec=100ms systemctl"
# A machine that stays takes its next session without another boot (`slipway checkin`).
FAREWELLS = {
    STAY: "touch /run/slipway/stay",
    "reboot": f"{_LATER} reboot",
    "poweroff": f"{_LATER} poweroff",
}
_SECONDS = 20.0


class ActionModule(MachineAction):
    """Says farewell once; nobody answers where the power is gone, and that is no failure."""

    def act(self, host: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return whether the machine heard it."""
        _validated, args = self.validate_argument_spec(
            argument_spec={"after": {"type": "str", "choices": list(FAREWELLS), "required": True}}
        )
        heard = True
        try:
            self.shell(FAREWELLS[args["after"]], _SECONDS)
        except AnsibleError as failure:
            heard = False
            Display().vvv(f"{host} did not hear the farewell: {clean(failure, 300)}")
        self.reconnect()
        if args["after"] != STAY:
            forget_host_key(Path(self._connection.get_option("known_hosts")), host)
        return {"changed": False, "heard": heard}
