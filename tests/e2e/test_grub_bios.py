# SPDX-License-Identifier: GPL-3.0-or-later
"""A BIOS PC that starts with GRUB makes the whole trip, and its menu can't be left for a shell.

The tests of this file run in their order: each begins with the disk and image the one before left.
"""

from collections.abc import Iterator

import pytest
from slipway_lab.api import Lab, Pc, Server
from slipway_lab.playbook_runs import LAB, ROOT, PlaybookRun, run_playbook

from .control import service_stopped
from .disk_files import sha256

pytestmark = pytest.mark.slow

INVENTORIES = (LAB, ROOT / "tests/fixtures/grub_machine.yml")
BOOT_SECONDS = 400
# The kernel and 65 MB over TFTP take their time without KVM.
PATIENCE = {"imaging_session_wake_timeout": 900, "imaging_session_after": "poweroff"}
FILES = ("grubpc.0", "grub/grub.cfg", "env/vmlinuz", "env/initrd.img", "env/site.cpio")


def play(name: str, **variables: object) -> PlaybookRun:
    """Run a playbook on the PC."""
    run = run_playbook(
        name, limit="pc1", variables=PATIENCE | variables, inventories=INVENTORIES, quiet=True
    )
    assert run.returncode == 0, run.output
    return run


@pytest.fixture(scope="module", autouse=True)
def locked(lab: Lab) -> Iterator[None]:
    """The lab with that PC, and as it was afterwards."""
    run = run_playbook("site", inventories=INVENTORIES, quiet=True)
    assert run.returncode == 0, run.output
    assert "keeps nobody out" not in run.output
    yield
    assert run_playbook("site", quiet=True).returncode == 0


@pytest.fixture
def pc1(lab: Lab) -> Iterator[Pc]:
    pc = lab.pc("pc1")
    yield pc
    pc.cut_power()


def test_a_backup_and_a_restore(pc1: Pc, server: Server) -> None:
    before = sha256(pc1.disk_path)
    result = play("backup").results["pc1"]["disk_backup"]
    assert result["image"] == "pc1"
    pc1.wait_until_off()
    assert sha256(pc1.disk_path) == before
    sent = server.succeed("journalctl -u slipway-dnsmasq --no-pager -o cat | grep -a 10.77.0.21")
    assert not {name for name in FILES if f"/tftp/{name} to 10.77.0.21" not in sent}

    pc1.overwrite_disk()
    assert play("restore", image="pc1").results["pc1"]["disk_restore"]["changed"] is True
    pc1.wait_until_off()


def test_neither_editor_nor_command_line_opens_and_its_own_disk_boots(
    pc1: Pc, server: Server
) -> None:
    # Its menu and the way to its disk need nothing but TFTP.
    with service_stopped(server):
        since = pc1.console_offset()
        pc1.power_on()
        for key in ("c", "e"):
            pc1.wait_for_serial("Rescue shell", since, BOOT_SECONDS)
            since = pc1.console_offset()
            pc1.press(key)
            pc1.wait_for_serial("Enter username", since)
            pc1.type("root")
            pc1.press("ret")
            pc1.wait_for_serial("Enter password", since)
            pc1.press("ret")
        pc1.wait_for_serial("Rescue shell", since)
        assert "grub>" not in pc1.console(since)
        pc1.press("ret")
        pc1.wait_for_serial("Booting the local disk", since)
        pc1.wait_for_own_disk(since, timeout=BOOT_SECONDS)
