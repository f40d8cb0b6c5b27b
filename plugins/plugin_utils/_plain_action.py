# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of the action plugins: one method that does the work, and failures in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.plugin_utils._plain import allowed, text

# A failure's words, which are all of it that is kept.
_FAILURE = {"msg": str, "error": str}


class PlainAction(ActionBase):
    """Runs `act`; what that raises is the one failure of the task."""

    TRANSFERS_FILES = False
    _requires_connection = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Do the work of the action; a failure is a failed task, never an unreachable host."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        try:
            return self.act(str(task_vars.get("inventory_hostname", "machine")), task_vars)
        except ModuleFailed as failure:
            # Whether it changed something before that, only the machine knows.
            return {"failed": True, **failure.as_result()}
        except SlipwayError as failure:
            return self.failed(failure)

    def act(self, host: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Do the work and return the result, key by key; raise SlipwayError if it can't be done."""
        raise NotImplementedError

    def failed(self, failure: SlipwayError) -> dict[str, Any]:
        """Return the result of a failed task."""
        return {"failed": True, "changed": False, **failure.as_result()}


class ModuleFailed(SlipwayError):
    """A module's own failure, in its own words."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        """Keep the words and nothing else."""
        said = allowed({key: answer.get(key) for key in _FAILURE}, _FAILURE)
        super().__init__(said.get("msg", "The module failed without a word."))
        self.kind = said.get("error")

    def as_result(self) -> dict[str, Any]:
        """Return the keys of a failed task."""
        return {"msg": self.message, **({"error": text(self.kind, 60)} if self.kind else {})}
