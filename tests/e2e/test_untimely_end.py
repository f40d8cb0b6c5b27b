# SPDX-License-Identifier: GPL-3.0-or-later
"""A demo that is killed leaves a mess, and lab_down.yml leaves nothing of it.

By its name this file runs last: it takes the lab of all the other tests down.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slipway_lab.api import Lab
from slipway_lab.playbook_runs import ROOT, run_playbook

pytestmark = pytest.mark.slow
WAKE_SECONDS = 300


def processes(config_words: tuple[str, ...]) -> list[str]:
    """Return the command lines of all processes that bear one of the lab's names."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it has just ended
        if any(word in line for word in config_words) and "pytest" not in line:
            found.append(line)
    return found


def leftovers(lab: Lab) -> list[str]:
    """Return whatever of the lab is still there, seen without the lab's own code."""
    words = (str(lab.config.paths.state), "/run/slipway-lab", lab.config.namespace)
    loops = subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout
    mounts = Path("/proc/self/mountinfo").read_text()
    spaces = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    lines = [*loops.splitlines(), *mounts.splitlines(), *spaces.splitlines()]
    return processes(words) + [line for line in lines if any(word in line for word in words)]


@pytest.mark.usefixtures("all_pcs_are_off")
def test_a_killed_demo_leaves_nothing_behind_after_lab_down(lab: Lab) -> None:
    since = lab.power_log_offset()
    demo = subprocess.Popen(
        [sys.executable, "-m", "slipway_lab.demo"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "roles/virtual_lab/files")},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + WAKE_SECONDS
    while not any(event.action == "turned on" for event in lab.power_events(since)):
        assert time.monotonic() < deadline and demo.poll() is None, "the demo woke no PC"
        time.sleep(1)
    os.killpg(demo.pid, signal.SIGKILL)
    demo.wait()
    assert len(leftovers(lab)) > 3, "this test does not see the lab"

    down = run_playbook("lab_down", quiet=True)
    assert down.returncode == 0, down.output
    assert leftovers(lab) == []
