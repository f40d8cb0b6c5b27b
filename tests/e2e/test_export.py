# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC's disk leaves the store by another way than a restore, and boots all the same."""

import subprocess
from pathlib import Path

import pytest
from slipway_lab.api import Pc, Server
from slipway_lab.playbook_runs import run_playbook

from . import independent

BOOT_SECONDS = 300


@pytest.mark.slow
def test_an_exported_disk_boots_to_its_own_login(pc1: Pc, server: Server, tmp_path: Path) -> None:
    off = {"imaging_session_after": "poweroff"}
    run = run_playbook("backup", limit="pc1", variables=off, quiet=True)
    assert run.returncode == 0, run.output
    pc1.wait_until_off()

    to = "/var/lib/slipway/exports/pc1.qcow2"
    server.succeed(f"rm -f {to}")
    variables = {"image": "pc1", "format": "qcow2", "to": to}
    for changed in (True, False):
        run = run_playbook("export", variables=variables, quiet=True)
        assert run.returncode == 0, run.output
        assert bool(run.changed) is changed

    exported = server.root / to[1:]
    same = ["qemu-img", "compare", "-f", "raw", "-F", "qcow2", pc1.disk_path, exported]
    root = independent.partitions(pc1.disk_path)[0]
    pc1.overwrite_disk()
    subprocess.run(
        ["qemu-img", "convert", "-n", "-f", "qcow2", "-O", "raw", exported, pc1.disk_path],
        check=True,
    )
    subprocess.run(same, check=True)
    assert independent.partitions(pc1.disk_path)[0] == root
    since = pc1.console_offset()
    assert pc1.power_on()
    pc1.wait_for_own_disk(since, timeout=BOOT_SECONDS)
    pc1.shutdown()

    words = {"image": "pc1", "path": "/etc/os-release", "to": str(tmp_path)}
    run = run_playbook("files", variables=words, quiet=True)
    assert run.returncode == 0, run.output
    assert "ID=debian" in (tmp_path / "os-release").read_text()
