# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that are not ours, and PCs without PXE: each comes to the check-in of a session."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slipway_lab.api import Lab, Pc
from slipway_lab.playbook_runs import LAB, ROOT, run_playbook

from .control import admin
from .foreign import ADDRESS, ASK, Foreign, foreign_dhcp

pytestmark = pytest.mark.slow

PC4 = (LAB, ROOT / "tests/fixtures/pc_without_pxe.yml")
FIXED = "10.77.0.30"
BOOT_SECONDS = 300


def play(name: str, **variables: str) -> None:
    run = run_playbook(name, variables=variables, inventories=PC4, quiet=True)
    assert run.returncode == 0, run.output[-3000:]


@pytest.fixture(scope="module")
def network(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Foreign]]:
    """The lab with a further PC and a foreign DHCP server; ours is in proxy mode."""
    play("lab_up")
    with foreign_dhcp(lab, tmp_path_factory.mktemp("foreign")) as foreign:
        play("site", pxe_server_dhcp_mode="proxy")
        yield Lab.load(), foreign


@pytest.fixture
def here(network: tuple[Lab, Foreign]) -> Iterator[Lab]:
    lab, _ = network
    yield lab
    for pc in lab.pcs:
        pc.cut_power()


def open_session(lab: Lab, pc: Pc) -> str:
    body = {"machine": pc.name, "macs": list(pc.macs), "verb": "backup", "image": pc.name}
    status, session = admin(lab.server, "POST", "/v1/sessions", body)
    assert status == 201, session
    return str(session["id"])


def wait_for_check_in(lab: Lab, pc: Pc, session: str) -> dict[str, Any]:
    deadline = time.monotonic() + BOOT_SECONDS
    while True:
        _, seen = admin(lab.server, "GET", f"/v1/sessions/{session}")
        if seen["state"] == "checked_in":
            break
        assert time.monotonic() < deadline, f"{seen}\n{pc.console()[-3000:]}"
        time.sleep(2)
    admin(lab.server, "DELETE", f"/v1/sessions/{session}?outcome=done")
    found: dict[str, Any] = seen
    return found


def insert(lab: Lab, made: str, drive: str) -> None:
    """Put a medium into one drive of pc4, and nothing into the other."""
    drives = lab.config.paths.state / "drives"
    shutil.rmtree(drives, ignore_errors=True)
    drives.mkdir()
    shutil.copy(made, drives / drive)


def test_bios_and_uefi_boot_beside_a_foreign_dhcp_server(
    here: Lab, network: tuple[Lab, Foreign]
) -> None:
    _, foreign = network
    pcs = [here.pc("pc1"), here.pc("pc2")]
    sessions = {pc.name: open_session(here, pc) for pc in pcs}
    for pc in pcs:
        pc.power_on()
    for pc in pcs:
        seen = wait_for_check_in(here, pc, sessions[pc.name])
        assert foreign.lent(seen["address"]), seen
    # The UEFI PC's firmware had its boot loader from us, and never an address.
    journal = here.server.succeed("journalctl --unit=slipway-dnsmasq --boot --no-pager")
    assert "sent /srv/slipway/tftp/snponly.efi" in journal
    assert "DHCPACK" not in journal.rpartition("DHCP, proxy on subnet")[2]


def test_what_firmware_and_ipxe_are_offered(here: Lab, network: tuple[Lab, Foreign]) -> None:
    """Also where no PC of the lab goes: BIOS firmware that is no iPXE, and relay agents."""
    _, foreign = network
    discover, request = 1, 3
    asks = [
        ("bios", discover, 0, False, ADDRESS, "", 67),
        ("bios ipxe", discover, 0, True, ADDRESS, "", 67),
        ("uefi", discover, 7, False, ADDRESS, "", 67),
        ("uefi file", request, 7, False, ADDRESS, "", 4011),
        ("uefi file 9", request, 9, False, ADDRESS, "", 4011),
        ("uefi ipxe", discover, 7, True, ADDRESS, "", 67),
        ("relayed ipxe", discover, 0, True, "", ADDRESS, 67),
    ]
    said = foreign.run("python3", "-", here.server.address, json.dumps(asks), stdin=ASK)
    offers = json.loads(said)
    assert {offer["address"] for offer in offers.values()} == {"0.0.0.0"}
    script = f"http://{here.server.address}/boot.ipxe"
    ipxe = {(offers[name]["file"], offers[name]["server"]) for name in offers if "ipxe" in name}
    assert ipxe == {(script, here.server.address)}
    assert b"Slipway".hex() in offers["bios"]["options"]["43"]
    assert offers["uefi file"]["file"] == offers["uefi file 9"]["file"] == "snponly.efi"


def test_the_floppy_boots_a_pc_whose_card_has_no_rom(
    here: Lab, network: tuple[Lab, Foreign]
) -> None:
    """A relay host wakes it: the image server itself, by Debian's own Python."""
    _, foreign = network
    play("boot_media")
    insert(here, str(ROOT / "media/img-floppy.img"), "pc4-floppy.img")
    pc4 = here.pc("pc4")
    session = open_session(here, pc4)
    since, log = pc4.console_offset(), here.power_log_offset()
    run = run_playbook(
        "wake",
        limit="pc4",
        variables={"machine_wake_relay": "img"},
        inventories=PC4,
        quiet=True,
    )
    assert run.returncode == 0, run.output
    deadline = time.monotonic() + 30
    while not any(event.pc == "pc4" for event in here.power_events(log)):
        assert time.monotonic() < deadline, "no magic packet came by"
        time.sleep(0.2)
    assert "turned on" in [event.action for event in here.power_events(log)]
    seen = wait_for_check_in(here, pc4, session)
    assert foreign.lent(seen["address"]), seen
    assert "SYSLINUX" in pc4.console(since)


def test_the_cd_boots_it_without_any_dhcp(here: Lab) -> None:
    play("boot_media", boot_media_name="pc4", boot_media_address=f"{FIXED}/24")
    insert(here, str(ROOT / "media/pc4.iso"), "pc4-cd.iso")
    pc4 = here.pc("pc4")
    session = open_session(here, pc4)
    since = pc4.console_offset()
    pc4.power_on()
    seen = wait_for_check_in(here, pc4, session)
    assert seen["address"] == FIXED, seen
    assert "ISOLINUX" in pc4.console(since)


def test_without_a_session_it_comes_to_its_menu_and_its_own_disk(here: Lab) -> None:
    """With the CD still in its drive."""
    pc4 = here.pc("pc4")
    assert (here.config.paths.state / "drives/pc4-cd.iso").exists()
    since = pc4.console_offset()
    pc4.power_on()
    pc4.wait_for_own_disk(since, timeout=BOOT_SECONDS)


def test_the_media_are_always_the_same(lab: Lab, tmp_path: Path) -> None:
    play("boot_media", boot_media_folder=str(tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    run = run_playbook("boot_media", variables={"boot_media_folder": str(tmp_path)}, quiet=True)
    assert run.changed == {}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
