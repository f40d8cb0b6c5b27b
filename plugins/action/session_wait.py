# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action: wait for a session on the image server, waking the machine meanwhile."""

from __future__ import annotations

from typing import Any

from ansible.utils.display import Display
from ansible_collections.slipway.imaging.plugins.plugin_utils._server_action import ServerAction
from ansible_collections.slipway.imaging.plugins.plugin_utils._session_wait import (
    CHECKED_IN,
    IMAGE_CHECKED,
    Waiter,
    broken_image,
    strangers,
)


class ActionModule(ServerAction):
    """Alternates the modules wake and session_info."""

    def act(self, host: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Wait, and return the session or the one failure."""
        if self._task.check_mode:
            return {"changed": False, "skipped": True, "msg": "would wait for the session"}
        _validated, args = self.validate_argument_spec(
            argument_spec={
                "id": {"type": "str", "required": True},
                "until": {"type": "str", "choices": [CHECKED_IN, IMAGE_CHECKED], "required": True},
                "timeout": {"type": "int", "default": 600},
                "wake": {"type": "dict"},
                "interval": {"type": "int", "default": 10},
                "patience": {"type": "int"},
                "waited": {"type": "float", "default": 0},
                "sent": {"type": "dict"},
                "admin_socket": {"type": "path", "default": "/run/slipway/admin.sock"},
            }
        )

        def module(name: str, **options: Any) -> dict[str, Any]:
            return self.on_server(name, options, task_vars)

        waiter = Waiter(
            host,
            args,
            # An option that was left empty in the inventory is one that was not given.
            wake=lambda: module("wake", **{k: v for k, v in args["wake"].items() if v}),
            look=lambda seconds: module(
                "session_info",
                id=args["id"],
                until=args["until"],
                wait=seconds,
                admin_socket=args["admin_socket"],
            ),
            show=Display().display,
        )
        session = waiter.wait()
        if args["until"] == IMAGE_CHECKED and (failure := broken_image(session)):
            raise failure
        result = {
            "changed": False,
            "session": session,
            "reached": waiter.reached,
            "packets": waiter.packets,
            "seconds": round(waiter.elapsed, 1),
        }
        if waiter.reached and (others := strangers(host, session)):
            result["warnings"] = others
        return result
