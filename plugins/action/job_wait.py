# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action: follow a job of the job runner to its end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._job_wait import follow


class ActionModule(ActionBase):
    """Asks the module job_info again and again."""

    TRANSFERS_FILES = False
    _requires_connection = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Follow, and return the job or the one failure."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validated, args = self.validate_argument_spec(
            argument_spec={
                "id": {"type": "str", "required": True},
                "admin_socket": {"type": "path", "default": "/run/slipway/admin.sock"},
            }
        )
        host = str(task_vars.get("inventory_hostname", "machine"))
        try:
            job = follow(host, lambda: self._look(args, task_vars), Display().display, time.sleep)
        except SlipwayError as failure:
            return {"failed": True, "changed": False, **failure.as_result()}
        return {"changed": False, "job": job}

    def _look(self, args: Mapping[str, Any], task_vars: dict[str, Any]) -> Mapping[str, Any]:
        try:
            found: dict[str, Any] = self._execute_module(
                module_name="slipway.imaging.job_info", module_args=dict(args), task_vars=task_vars
            )
        except AnsibleConnectionFailure as failure:
            raise SlipwayError(
                f"The image server stopped answering: {clean(failure, 300)}",
                "The job goes on without this: playbooks/jobs.yml shows how it is.",
                "server_lost",
            ) from failure
        if found.get("failed"):
            message = str(found.get("msg", "The module job_info failed."))
            raise SlipwayError(message, error=str(found.get("error", "failed")))
        return found
