# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs ordered for PCs that are off: woken, saved, off again; nothing is left of a power cut."""

import time
from collections.abc import Mapping
from typing import Any

import pytest
from slipway_lab.api import Lab, Pc, Server
from slipway_lab.playbook_runs import run_playbook

from .control import admin, jobs, versions

BOOT_SECONDS = 300
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


def woken_at(lab: Lab, since: int) -> set[str | None]:
    return {each.pc for each in lab.power_events(since) if each.action == "turned on"}


def test_two_pcs_that_are_off_are_saved_and_off_again(lab: Lab, server: Server) -> None:
    known = {pc.name: versions(server, pc.name) for pc in lab.pcs}
    power = lab.power_log_offset()
    order("backup")
    # Whoever orders need not stay; whoever stays is shown what happens.
    followed = run_playbook(
        "order", limit="pc1,pc2", variables={"verb": "backup", "follow": "true"}, quiet=True
    )
    assert followed.returncode == 0, followed.output
    assert followed.changed == {}, "the same order is no second one"
    assert "pc1  backup" in followed.output and "pc2  backup done" in followed.output
    found = wait_until_ended(server)
    assert outcomes(found) == {"pc1": "done", "pc2": "done"}, found
    for job in found.values():
        assert (job["origin"], job["arrival"], job["by"]) == ("order", "wakes", "root")
    assert woken_at(lab, power) == {"pc1", "pc2"}
    for pc in lab.pcs:
        pc.wait_until_off()
        assert len(versions(server, pc.name)) == len(known[pc.name]) + 1
    assert open_sessions(server) == []
    _, answer = admin(server, "GET", "/v1/audit?most=100")
    said = [(each["who"], each["verb"], each["subject"]) for each in answer["lines"]]
    assert ("root", "order a job", "pc1") in said and ("root", "order a job", "pc2") in said
    shown = run_playbook("jobs", quiet=True).output
    assert "order" in shown and "wakes" in shown


def test_a_pc_that_is_on_is_said_at_once(pc1: Pc) -> None:
    since = pc1.console_offset()
    pc1.power_on()
    pc1.wait_for_own_disk(since, BOOT_SECONDS)
    run = run_playbook("backup", limit="pc1", quiet=True)
    assert run.returncode != 0
    assert "pc1 is on" in " ".join(run.failures["pc1"])
    assert pc1.is_on, "nothing was done to it"
    pc1.shutdown()


@pytest.mark.slow
def test_a_plug_that_is_pulled_costs_that_job_and_no_other(
    lab: Lab, server: Server, pc1: Pc, pc2: Pc
) -> None:
    known = {pc.name: versions(server, pc.name) for pc in lab.pcs}
    since = pc2.console_offset()
    order("backup", disk_patience="2")
    pc2.wait_for_serial(r"backup .* [1-9]\d\.\d%", since, timeout=400)
    pc2.cut_power()
    # Its user switches it on, when nobody knows yet that it was off.
    since = pc2.console_offset()
    pc2.power_on()
    pc2.wait_for_serial("Slipway - pc2", since, BOOT_SECONDS)
    pc2.cut_power()

    found = wait_until_ended(server)
    assert outcomes(found) == {"pc1": "done", "pc2": "abandoned"}, found
    assert "pc2" in found["pc2"]["message"] and found["pc2"]["remedy"]
    pc1.wait_until_off()
    assert len(versions(server, "pc1")) == len(known["pc1"]) + 1
    assert versions(server, "pc2") == known["pc2"]
    assert open_sessions(server) == []

    since = pc2.console_offset()
    pc2.power_on()
    pc2.wait_for_serial("Slipway - pc2", since, BOOT_SECONDS)
    pc2.wait_for_own_disk(since, BOOT_SECONDS)
    assert "/env/" not in pc2.console(since)
