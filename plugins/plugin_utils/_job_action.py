"""The base of the action plugins that let the agent work: start, follow, and say how it ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.slipway.imaging.plugins.module_utils._agent import (
    JOBS,
    new_job,
    unit_and_log,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._differences import reference
from ansible_collections.slipway.imaging.plugins.plugin_utils._follow import Ending, Follower, Job
from ansible_collections.slipway.imaging.plugins.plugin_utils._progress import (
    number,
    size,
    summary,
)

RESULT_KEYS = (
    "image",
    "version",
    "read",
    "sent",
    "written",
    "stored",
    "unreadable",
    "degraded",
    "boot_entries",
    "cells",
    "seconds",
    "disks",
)


# The agent's options, and what a user of the playbooks writes instead.
_OPTIONS = {
    "--target": """-e '{"disk_targets": {"disk0": "/dev/disk/by-id/..."}}'""",
    "name the disk": """-e '{"disk_devices": ["/dev/disk/by-id/..."]}'""",
    "--whole": """-e '{"disk_whole": ["disk0:2"]}'""",
    "--unclean": "-e disk_unclean=whole",
    "--keep-gaps": "-e disk_keep_gaps=true",
    "--allow-degraded": "-e allow_degraded=true",
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


class JobAction(ActionBase):
    """Runs the module of the same name, which starts a job, and follows that job to its end."""

    TRANSFERS_FILES = False
    _requires_connection = True

    # The name of the module, and of the playbook that a user would run again.
    module = ""
    playbook = ""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Start the job, follow it, and return its typed result or its one failure."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        host = str(task_vars.get("inventory_hostname", "machine"))
        # Named here: in what the module returns, all that equals a passphrase is masked.
        arguments = {**self._task.args}
        job = arguments["job"] = str(arguments.get("job") or new_job(self.module.replace("_", "-")))
        try:
            started = self._execute_module(
                module_name=f"slipway.imaging.{self.module}",
                module_args=arguments,
                task_vars=task_vars,
            )
        except AnsibleConnectionFailure as failure:
            return self._failed(self.not_started(host, clean(failure, 300)))
        if started.get("failed"):
            return {**started, "msg": _with_names_here(str(started.get("msg", "")))}
        if "unit" not in started:
            return started
        ending = self._follow(host, Job(*unit_and_log(job, str(arguments.get("jobs_dir", JOBS)))))
        if ending.kind != "result":
            return self._failed(self.failure(host, ending), ending)
        Display().display(summary(host, ending.record, self._task.check_mode))
        result = {key: ending.record[key] for key in RESULT_KEYS if key in ending.record}
        result.update(self.outcome(ending.record))
        result["agent_warnings"] = ending.warnings
        if result.get("degraded"):
            Display().warning(degraded(host, ending.record))
        return result

    def outcome(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return what differs from module to module in a result: above all `changed`."""
        return {"changed": bool(record.get("changed"))}

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
                f"{host} stopped answering while the agent worked"
                f" ({ending.last_phase or 'start'}): {_sentence(ending.detail)} {state}",
                f"See whether {host} has power and network; then run"
                f" playbooks/{self.playbook} again.",
                "machine_lost",
            )
        return SlipwayError(
            f"The agent on {host} was killed ({ending.detail}). {state}",
            f"See whether {host} has enough memory (at least 1 GiB); then run"
            f" playbooks/{self.playbook} again.",
            "agent_killed",
        )

    def _follow(self, host: str, job: Job) -> Ending:
        show = Display().display
        return Follower(host, job, self._shell, show, reconnect=self._reconnect).follow()

    def _shell(self, command: str) -> str:
        # Without sudoable there is no terminal in between that would rewrite the output.
        return str(self._low_level_execute_command(command, sudoable=False)["stdout"])

    def _reconnect(self) -> None:
        # A master connection that hangs would answer nothing to the next poll either.
        try:
            self._connection.reset()
        except AnsibleError as failure:
            Display().vvv(f"resetting the connection: {failure}")

    def _failed(self, failure: SlipwayError, ending: Ending | None = None) -> dict[str, Any]:
        result = {"failed": True, "changed": False, **failure.as_result()}
        if ending is not None:
            result["agent_warnings"] = ending.warnings
        return result


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
        " allow_degraded."
    )


def _sentence(text: object) -> str:
    sentence = clean(text or "The agent failed").rstrip(" .")
    return f"{sentence}."
