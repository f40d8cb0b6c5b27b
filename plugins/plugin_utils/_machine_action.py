# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of all action plugins that run something on a machine whose root may be hostile.

What comes back is data, of bounded size and in bounded time, and a failure in words. Nothing of it
reaches Ansible but what an action names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.utils.display import Display
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._plain import NotPlain
from ansible_collections.slipway.imaging.plugins.plugin_utils._plain_action import (
    ModuleFailed,
    PlainAction,
)

# A module starts Python on a machine that may be slow, and looks at its disks.
MODULE_SECONDS = 600.0


class MachineAction(PlainAction):
    """Runs modules and commands on a machine, and believes nothing that it does not check."""

    def module(
        self, name: str, arguments: Mapping[str, Any], task_vars: dict[str, Any]
    ) -> Mapping[str, Any]:
        """Run a module on the machine and return its answer, which is still the machine's word.

        Raises AnsibleConnectionFailure when there is no answer, and SlipwayError with the module's
        own words when it failed.
        """
        self._bound(MODULE_SECONDS)
        try:
            answer = self._execute_module(
                module_name=f"slipway.imaging.{name}",
                module_args=dict(arguments),
                task_vars=task_vars,
            )
        except AnsibleConnectionFailure:
            raise
        except AnsibleError as failure:
            raise SlipwayError(clean(failure)) from failure
        # Whatever a lie makes Ansible's own reader stumble over.
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as failure:
            raise NotPlain(f"Ansible could not read it ({type(failure).__name__})") from failure
        if not isinstance(answer, Mapping):
            raise NotPlain("it is no object")
        if "module_stdout" in answer:
            raise NotPlain(f"it is no JSON object ({clean(answer.get('msg'), 200)})")
        if answer.get("failed"):
            raise ModuleFailed(answer)
        return answer

    def shell(self, command: str, seconds: float) -> str:
        """Run a command on the machine and return its output."""
        self._bound(seconds)
        # Without sudoable there is no terminal in between that would rewrite the output.
        return str(self._low_level_execute_command(command, sudoable=False)["stdout"])

    def reconnect(self) -> None:
        """End the master connection: one that hangs would answer nothing to the next command."""
        try:
            self._connection.reset()
        except AnsibleError as failure:
            Display().vvv(f"resetting the connection: {clean(failure, 300)}")

    def _bound(self, seconds: float) -> None:
        self._connection.seconds = seconds

    def _low_level_execute_command(self, *args: Any, **options: Any) -> dict[str, Any]:
        said: dict[str, Any] = super()._low_level_execute_command(*args, **options)
        if options.get("in_data"):
            # A module answers with one line of JSON. About anything else Ansible would warn in the
            # machine's own words.
            said |= {"stdout": _json_line(said["stdout"]), "stderr": ""}
        return said


def _json_line(said: str) -> str:
    return next((row for row in said.split("\n") if row.lstrip().startswith("{")), "")
