# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs ordered for both PCs, and what became of them."""

import time
from collections.abc import Mapping
from typing import Any

from slipway_lab.api import Server
from slipway_lab.playbook_runs import run_playbook

from .control import admin, jobs

JOB_SECONDS = 900


def order(verb: str, **more: str) -> None:
    """Order a job for each PC; the playbook does not wait for it."""
    run = run_playbook("order", limit="pc1,pc2", variables={"verb": verb} | more, quiet=True)
    assert run.returncode == 0, run.output
    assert set(run.changed) == {"pc1", "pc2"}


def newest(server: Server, count: int) -> dict[str, dict[str, Any]]:
    """The last jobs by their machines."""
    return {job["machine"]: job for job in jobs(server)[-count:]}


def wait_until_ended(server: Server) -> dict[str, dict[str, Any]]:
    """Both PCs' jobs, when they have ended by themselves."""
    deadline = time.monotonic() + JOB_SECONDS
    while True:
        found = newest(server, 2)
        if all(job["state"] == "ended" for job in found.values()):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(2)


def open_sessions(server: Server) -> list[dict[str, Any]]:
    _, answer = admin(server, "GET", "/v1/sessions")
    return [each for each in answer["sessions"] if each["state"] != "ended"]


def outcomes(found: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    return {name: str(job["outcome"]) for name, job in found.items()}
