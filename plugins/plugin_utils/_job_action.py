# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of the action plugins that let the agent work: start, follow, and say how it ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.loader import connection_loader
from ansible.utils.display import Display
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import ADMIN_SOCKET
from ansible_collections.slipway.imaging.plugins.module_utils._agent import new_job
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.module_utils._names import is_version
from ansible_collections.slipway.imaging.plugins.plugin_utils._differences import reference
from ansible_collections.slipway.imaging.plugins.plugin_utils._follow import (
    PATIENCE_SECONDS,
    Ending,
    Follower,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._machine_action import MachineAction
from ansible_collections.slipway.imaging.plugins.plugin_utils._plain import NotPlain, allowed
from ansible_collections.slipway.imaging.plugins.plugin_utils._plain_action import ModuleFailed
from ansible_collections.slipway.imaging.plugins.plugin_utils._progress import (
    number,
    size,
    summary,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._server_action import ServerAction

# The connection to the machine of a session, whatever the inventory says of connections.
CONNECTION = "slipway.imaging.session"
# What is the server's connection's own and must not reach the machine's.
_KEY = "ansible_private_key_file"

# What the agent's last record may hold, beside what a verb makes of it.
RESULT_KEYS: dict[str, type] = {
    "image": str,
    "version": str,
    "read": int,
    "sent": int,
    "written": int,
    "stored": int,
    "unreadable": int,
    "degraded": bool,
    "boot_entries": list,
    "cells": dict,
    "seconds": float,
    "disks": list,
}


# The agent's options, and what a user of the playbooks writes instead.
_OPTIONS = {
    "--target": """-e '{"disk_targets": {"disk0": "/dev/disk/by-id/..."}}'""",
    "name the disk": """-e '{"disk_devices": ["/dev/disk/by-id/..."]}'""",
    "--whole": """-e '{"disk_whole": ["disk0:2"]}'""",
    "--unclean": "-e disk_unclean=whole",
    "--keep-gaps": "-e disk_keep_gaps=true",
    "--allow-degraded": "-e disk_allow_degraded=true",
    "--luks-key": "the variable disk_luks_keys",
    "--disk": """-e '{"disk_only": ["disk0"]}'""",
    "--partition": """-e '{"disk_partitions": ["disk0:2"]}'""",
    "--move": """-e '{"disk_grow": [{"partition": "disk0:2", "move": true}]}'""",
    "--grow": """-e '{"disk_grow": ["last"]}'""",
    "--max-unreadable": "-e disk_max_unreadable=BYTES",
    "--rescue-minutes": "-e disk_rescue_minutes=N",
}
# What stands in them for the partition that the agent names.
_EXAMPLE = "disk0:2"
_NAMED = re.compile(r"(--[a-z]+) (disk\d+:\w+)")


class JobAction(ServerAction):
    """Lets the machine start a job, and follows it by what the image server hears of it.

    The task is delegated to the image server, and so is every look; SSH to the machine starts the
    job and is not needed any more.
    """

    # The name of the module, and of the playbook that a user would run again.
    module_name = ""
    playbook = ""

    def act(self, host: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Start the job, follow it, and return its typed result or its one failure."""
        self._refuse_another_host()
        # Named here: in what the module returns, all that equals a passphrase is masked.
        arguments = {key: value for key, value in self._task.args.items() if key != "service"}
        job = arguments["job"] = str(arguments.get("job") or new_job(_dashed(self.module_name)))
        follower = self._follower(host, job, task_vars)
        try:
            machine = self.machine(host, task_vars)
            started = machine.module(self.module_name, arguments, _of_the_machine(host, task_vars))
        except AnsibleConnectionFailure as failure:
            # The answer may be what was lost.
            if self._task.check_mode or not follower.has_begun():
                raise self.not_started(host, clean(failure, 300)) from failure
        except ModuleFailed as failure:
            failure.message = _with_names_here(failure.message)
            raise
        else:
            if "unit" not in started:
                return self.without_job(host, started)
        ending = follower.follow()
        try:
            if ending.kind != "result":
                raise self.failure(host, ending)
            result = self.result(host, ending)
        except SlipwayError as failure:
            return {**self.failed(failure), "agent_warnings": ending.warnings}
        Display().display(summary(host, ending.record, self._task.check_mode))
        if result.get("degraded"):
            Display().warning(degraded(host, ending.record))
        return result

    def _refuse_another_host(self) -> None:
        if not self._task.delegate_to or not self._service.get("session"):
            raise SlipwayError(
                f"{self.module_name} asks the image server how its job goes, and was not told"
                " where. Nothing was started.",
                "Delegate the task to the image server and name the session, as"
                f" playbooks/{self.playbook} does.",
                "no_server",
            )

    @property
    def _service(self) -> Mapping[str, Any]:
        said = self._task.args.get("service")
        return said if isinstance(said, Mapping) else {}

    def machine(self, host: str, task_vars: Mapping[str, Any]) -> MachineAction:
        """Return what runs modules on the machine, over the session's own connection."""
        connection = connection_loader.get(
            CONNECTION, self._play_context, task_uuid=self._task._uuid
        )
        options = connection._resolve_option_variables(
            _of_the_machine(host, task_vars), self._templar
        )
        connection.set_options(var_options=options)
        task = self._task.copy()
        task.delegate_to = None
        task.become = False
        return MachineAction(
            task, connection, self._play_context, self._loader, self._templar,
            self._shared_loader_obj,
        )  # fmt: skip

    def without_job(self, host: str, started: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result of a module that started no job."""
        raise NotPlain("it names no job that was started")

    def result(self, host: str, ending: Ending) -> dict[str, Any]:
        """Return what a job that succeeded has to say, after a look at whether it can be."""
        result = allowed(ending.record, RESULT_KEYS)
        name, _at, version = str(self._task.args.get("image", "")).partition("@")
        if result.get("image") != name or not is_version(result.get("version")):
            raise NotPlain(f"it is not about {name}, or names no version")
        if version and result["version"] != version:
            raise NotPlain(f"it is about another version than {version}")
        result.update(self.outcome(ending.record))
        result["agent_warnings"] = ending.warnings
        return result

    def outcome(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return what differs from module to module in a result: above all `changed`."""
        return {"changed": self.has_changed(record)}

    def has_changed(self, record: Mapping[str, Any]) -> bool:
        """Return what the agent says of itself; anything but yes or no is no answer."""
        return bool(allowed(record, {"changed": bool}).get("changed"))

    def disk_state(self, host: str, ending: Ending) -> str:
        """Say what became of image and disk when a job ended without its own last word."""
        raise NotImplementedError

    def error_state(self, host: str, ending: Ending) -> str:
        """Say what became of image and disk when the agent itself reported a failure."""
        return ""

    def remedy(self, record: Mapping[str, Any]) -> str:
        """Return what the agent advises."""
        return _with_names_here(clean(record.get("remedy", "")))

    def not_started(self, host: str, why: str) -> SlipwayError:
        """Return the failure of a machine that was gone before the job began."""
        return SlipwayError(
            f"{host} stopped answering before the agent was started: {why}",
            f"See whether {host} is on and in the imaging environment; then run"
            f" playbooks/{self.playbook} again. Nothing was changed.",
            "machine_lost",
        )

    def failure(self, host: str, ending: Ending) -> SlipwayError:
        """Return the one failure that a job's end means."""
        record = ending.record
        if ending.kind == "error":
            return SlipwayError(
                " ".join(
                    filter(None, (_sentence(record.get("message")), self.error_state(host, ending)))
                ),
                self.remedy(record),
                clean(record.get("error", "failed"), 60),
            )
        state = self.disk_state(host, ending)
        if ending.kind == "lost":
            return SlipwayError(
                f"{host} was lost while the agent worked"
                f" ({ending.last_phase or 'start'}): {_sentence(ending.detail)} {state}",
                f"See whether {host} has power and network; then run"
                f" playbooks/{self.playbook} again.",
                "machine_lost",
            )
        if ending.kind == "stuck":
            return SlipwayError(
                f"The agent on {host} is not waited for any longer"
                f" ({ending.last_phase or 'start'}): {_sentence(ending.detail)} {state}",
                f"Look at the screen of {host} and at its disks. If it only needs more time, run"
                f" playbooks/{self.playbook} again with -e disk_patience=MINUTES.",
                "agent_stuck",
            )
        if ending.kind == "ended":
            return SlipwayError(
                f"The session of {host} was ended ({ending.detail}) while the agent worked"
                f" ({ending.last_phase or 'start'}). {state}",
                "Somebody or something ended it, as playbooks/session_end.yml and jobs.yml do; run"
                f" playbooks/{self.playbook} again.",
                "session_ended",
            )
        return SlipwayError(
            f"The agent on {host} was killed ({ending.detail}). {state}",
            f"See whether {host} has enough memory (at least 1 GiB); then run"
            f" playbooks/{self.playbook} again.",
            "agent_killed",
        )

    def _follower(self, host: str, job: str, task_vars: dict[str, Any]) -> Follower:
        def look(seconds: float) -> Mapping[str, Any]:
            options = {
                "id": self._service["session"],
                "until": "finished",
                "wait": round(seconds),
                "admin_socket": self._service.get("admin_socket", ADMIN_SOCKET),
            }
            seen = self.on_server("session_info", options, task_vars).get("session")
            return seen if isinstance(seen, Mapping) else {}

        show = Display().display
        return Follower(host, job, look, show, reconnect=self._reconnect, patience=self._patience())

    def _reconnect(self) -> None:
        """End a connection to the image server that may hang."""
        try:
            self._connection.reset()
        except (AnsibleError, AttributeError) as failure:
            Display().vvv(f"resetting the connection: {clean(failure, 300)}")

    def _patience(self) -> float:
        """Return how long a job may stand still, in seconds."""
        if given := self._task.args.get("patience"):
            return 60.0 * int(given)
        # Failing reads may take their time without any progress.
        rescue = 60 * int(self._task.args.get("rescue_minutes") or 0)
        return max(PATIENCE_SECONDS, rescue + 1800.0)


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _of_the_machine(host: str, task_vars: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of the machine, without what Ansible has added of the server's."""
    own = dict(task_vars)
    if _KEY not in task_vars.get("hostvars", {}).get(host, {}):
        own.pop(_KEY, None)
    return own


def _with_names_here(advice: str) -> str:
    """Return advice with what the agent's options are called in the playbooks."""
    named = dict(_NAMED.findall(advice))
    here = [
        text.replace(_EXAMPLE, named.get(option, _EXAMPLE))
        for option, text in _OPTIONS.items()
        if option in advice
    ]
    return f"{advice}. Here: {', '.join(here)}" if here else advice


def degraded(host: str, record: Mapping[str, Any]) -> str:
    """Return the warning about a version that lacks sectors."""
    return (
        f"{host}: {reference(record)} is degraded: {size(number(record, 'unreadable'))} of its"
        " source could not be read and are zeros. It is restored only when told to, with"
        " disk_allow_degraded."
    )


def _sentence(text: object) -> str:
    sentence = clean(text or "The agent failed").rstrip(" .")
    return f"{sentence}."
