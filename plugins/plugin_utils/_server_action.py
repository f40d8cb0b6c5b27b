# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of the action plugins whose task is delegated to the image server."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._plain_action import PlainAction

SERVER_LOST = "server_lost"


class ServerAction(PlainAction):
    """Runs modules on the image server, which is trusted."""

    # The remedy when it answers no more.
    when_lost = (
        "See whether it is up; then run the playbook again. If it says that a session is"
        " open, end that with playbooks/session_end.yml."
    )

    def on_server(
        self, name: str, options: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        """Run a module there and return what it says; raise SlipwayError with its failure."""
        try:
            result: dict[str, Any] = self._execute_module(
                module_name=f"slipway.imaging.{name}", module_args=options, task_vars=task_vars
            )
        except AnsibleConnectionFailure as failure:
            raise SlipwayError(
                f"The image server stopped answering: {clean(failure, 300)}",
                self.when_lost,
                SERVER_LOST,
            ) from failure
        if result.get("failed"):
            message = str(result.get("msg", f"The module {name} failed."))
            raise SlipwayError(message, error=str(result.get("error", "failed")))
        return result
