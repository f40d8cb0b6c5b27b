# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs for PCs that are on, and for one whose plug is pulled: nothing is left of it."""

import pytest
from slipway_lab.api import Lab, Pc, Server
from slipway_lab.playbook_runs import run_playbook

from .control import versions
from .ordering import open_sessions, order, outcomes, wait_until_ended

BOOT_SECONDS = 300
pytestmark = pytest.mark.slow


def test_a_pc_that_is_on_is_said_at_once(pc1: Pc) -> None:
    since = pc1.console_offset()
    pc1.power_on()
    pc1.wait_for_own_disk(since, BOOT_SECONDS)
    run = run_playbook("backup", limit="pc1", quiet=True)
    assert run.returncode != 0
    assert "pc1 is on" in " ".join(run.failures["pc1"])
    assert pc1.is_on, "nothing was done to it"
    pc1.shutdown()


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
