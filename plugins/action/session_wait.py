# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action: wait for a session on the image server, waking the machine meanwhile."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._session_wait import (
    CHECKED_IN,
    IMAGE_CHECKED,
    Waiter,
    broken_image,
    strangers,
)


class ActionModule(ActionBase):
    """Alternates the modules wake and session_info."""

    TRANSFERS_FILES = False
    _requires_connection = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Wait, and return the session or the one failure."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
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
        host = str(task_vars.get("inventory_hostname", "machine"))

        def module(name: str, **options: Any) -> dict[str, Any]:
            return self._module(name, options, task_vars)

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
        try:
            session = waiter.wait()
            if args["until"] == IMAGE_CHECKED and (failure := broken_image(session)):
                raise failure
        except SlipwayError as failure:
            return {"failed": True, "changed": False, **failure.as_result()}
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

    def _module(
        self, name: str, options: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        try:
            result = self._execute_module(
                module_name=f"slipway.imaging.{name}", module_args=options, task_vars=task_vars
            )
        except AnsibleConnectionFailure as failure:
            raise SlipwayError(
                f"The image server stopped answering: {clean(failure, 300)}",
                "See whether it is up; then run the playbook again. If it says that a session is"
                " open, end that with playbooks/session_end.yml.",
                "server_lost",
            ) from failure
        if result.get("failed"):
            message = str(result.get("msg", f"The module {name} failed."))
            raise SlipwayError(message, error=str(result.get("error", "failed")))
        return dict(result)
