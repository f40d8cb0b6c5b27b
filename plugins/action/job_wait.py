# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action: follow a job of the job runner to its end."""

from __future__ import annotations

import time
from typing import Any

from ansible.utils.display import Display
from ansible_collections.slipway.imaging.plugins.plugin_utils._job_wait import follow
from ansible_collections.slipway.imaging.plugins.plugin_utils._server_action import ServerAction


class ActionModule(ServerAction):
    """Asks the module job_info again and again."""

    when_lost = "The job goes on without this: playbooks/jobs.yml shows how it is."

    def act(self, host: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Follow, and return the job or the one failure."""
        _validated, args = self.validate_argument_spec(
            argument_spec={
                "id": {"type": "str", "required": True},
                "admin_socket": {"type": "path", "default": "/run/slipway/admin.sock"},
            }
        )
        job = follow(
            host,
            lambda: self.on_server("job_info", dict(args), task_vars),
            Display().display,
            time.sleep,
        )
        return {"changed": False, "job": job}
