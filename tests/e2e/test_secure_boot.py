# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC whose firmware enforces Secure Boot makes the whole trip, with nothing enrolled on it.

The tests of this file run in their order: each begins with the disk and image the one before left.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from slipway_lab.api import Lab, Pc, Server
from slipway_lab.playbook_runs import LAB, ROOT, PlaybookRun, run_playbook

from . import independent
from .control import admin, service_stopped
from .disk_files import copy, sha256

pytestmark = pytest.mark.slow

INVENTORIES = (LAB, ROOT / "tests/fixtures/secure_boot_machine.yml")
BOOT_SECONDS = 400
# Firmware, shim, GRUB and 100 MB over TFTP take their time without KVM.
PATIENCE = {"imaging_session_wake_timeout": 900, "imaging_session_after": "poweroff"}
SIGNED = {"shimx64.efi", "grubx64.efi", "grub/grub.cfg", "env/vmlinuz", "env/initrd.img"}


def play(name: str, **variables: object) -> PlaybookRun:
    """Run a playbook on the PC."""
    run = run_playbook(
        name, limit="pc3", variables=PATIENCE | variables, inventories=INVENTORIES, quiet=True
    )
    assert run.returncode == 0, run.output
    return run


@pytest.fixture(scope="module")
def secure_lab(lab: Lab) -> Iterator[Lab]:
    """The lab with a third PC in it, and without it afterwards."""
    for name in ("lab_up", "site"):
        run = run_playbook(name, inventories=INVENTORIES, quiet=True)
        assert run.returncode == 0, run.output
    yield Lab.load()
    for name in ("lab_up", "site"):
        assert run_playbook(name, quiet=True).returncode == 0


@pytest.fixture
def pc3(secure_lab: Lab) -> Iterator[Pc]:
    pc = secure_lab.pc("pc3")
    yield pc
    pc.cut_power()


@pytest.fixture(scope="module")
def original(secure_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the PC's disk as it was made."""
    return copy(secure_lab.pc("pc3").disk_path, tmp_path_factory.mktemp("original"))


def sessions(server: Server) -> list[dict[str, object]]:
    _, answer = admin(server, "GET", "/v1/sessions")
    return [each for each in answer["sessions"] if each["machine"] == "pc3"]


def test_a_backup_with_secure_boot_on(pc3: Pc, server: Server, original: Path) -> None:
    before = sha256(pc3.disk_path)
    result = play("backup").results["pc3"]["disk_backup"]
    assert result["changed"] and result["image"] == "pc3"
    pc3.wait_until_off()
    assert sha256(pc3.disk_path) == before == sha256(original)

    hardware = sessions(server)[-1]["hardware"]
    assert isinstance(hardware, dict)
    assert hardware["firmware"] == "uefi"
    assert hardware["secure_boot"] is True, "the guest's own SecureBoot variable does not say 1"
    # Signed programs alone, by TFTP: the server's word for it.
    sent = server.succeed("journalctl -u slipway-dnsmasq --no-pager -o cat | grep -a 10.77.0.23")
    assert not {name for name in SIGNED if f"/tftp/{name} to 10.77.0.23" not in sent}
    assert "snponly.efi" not in sent
    assert server.succeed("ls /run/slipway-tftp") == "", "no session is pending any more"


def test_wiped_and_restored_it_boots_its_own_disk_without_the_service(
    pc3: Pc, server: Server, original: Path
) -> None:
    pc3.overwrite_disk()
    result = play("restore", image="pc3").results["pc3"]["disk_restore"]
    assert result["changed"] is True
    pc3.wait_until_off()
    ranges = independent.used_ranges(original)
    assert independent.differing(original, pc3.disk_path, ranges) == []

    # Its menu and the way to its disk need nothing but TFTP.
    since = pc3.console_offset()
    with service_stopped(server):
        pc3.power_on()
        pc3.wait_for_serial("Booting the local disk", since, BOOT_SECONDS)
        pc3.wait_for_own_disk(since, timeout=BOOT_SECONDS)
