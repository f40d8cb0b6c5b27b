# SPDX-License-Identifier: GPL-3.0-or-later
"""A PC that nobody knows is registered, approved, gets its menu, and is backed up; then once more.

One machine, five boots: into the registration that its user picked with the keyboard, from there by
itself into its menu and its own disk, woken for its backup; forgotten, into a registration without
a question, which is refused; and, imported from a list, woken for another backup.
"""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from slipway_lab.api import Lab, Pc, Server
from slipway_lab.playbook_runs import ROOT, run_playbook

from .control import admin, versions

# Several boots of a PC: more than make test has time for.
pytestmark = pytest.mark.slow

MAC = "52:54:00:77:00:63"
STRANGER = {"name": "stranger", "like": "pc1", "macs": [MAC], "disk_serial": "SLW-PC9-4799"}
# A name of its own: whatever other tests of this lab left of their machines is not in the way.
NAME = "hall-3"
FILE = ROOT / f"inventory/lab/machines.d/{NAME}.json"
MENU = f"/srv/slipway/boot/menu/{MAC.replace(':', '-')}.ipxe"
BOOT_SECONDS = 300


def extra(**variables: object) -> str:
    """Variables that are no text, as an option of ansible-playbook."""
    return f"-e {shlex.quote(json.dumps(variables))}"


def graph() -> str:
    command = [str(Path(sys.executable).with_name("ansible-inventory")), "-i", "inventory/lab"]
    return subprocess.run(
        [*command, "--graph"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def stranger(lab: Lab) -> Iterator[Pc]:
    """A PC of the lab that is in no inventory."""
    FILE.unlink(missing_ok=True)
    up = run_playbook("lab_up", options=extra(virtual_lab_strangers=[STRANGER]), quiet=True)
    assert up.returncode == 0, up.output
    pc = Lab.load().pc("stranger")
    yield pc
    pc.cut_power()
    FILE.unlink(missing_ok=True)
    for playbook in ("site", "lab_up"):
        assert run_playbook(playbook, quiet=True).returncode == 0


def waits(server: Server, name: str) -> bool:
    status, answer = admin(server, "GET", "/v1/registrations")
    assert status == 200
    return name in [each["name"] for each in answer["registrations"]]


def wait_until_it_asks(server: Server, name: str) -> None:
    deadline = time.monotonic() + BOOT_SECONDS
    while not waits(server, name):
        assert time.monotonic() < deadline, "it did not register"
        time.sleep(2)


def back_up(server: Server, pc: Pc) -> list[str]:
    """Have it backed up by the ordinary playbook, which wakes it; return its image's versions."""
    known = versions(server, NAME)
    off = {"imaging_session_after": "poweroff"}
    saved = run_playbook("backup", limit=NAME, variables=off, quiet=True)
    assert saved.returncode == 0, saved.output
    now = versions(server, NAME)
    assert len(now) == len(known) + 1 and set(known) < set(now)
    pc.wait_until_off()
    return now


def test_a_stranger_becomes_a_machine_and_is_gone_again(
    server: Server, stranger: Pc, tmp_path: Path
) -> None:
    assert "stranger" not in graph() and NAME not in graph()
    since = stranger.console_offset()
    stranger.power_on()
    stranger.wait_for_serial("Register this machine", since, BOOT_SECONDS)
    stranger.press("down", "ret")
    wait_until_it_asks(server, "pc-slw-pc9-4799")
    stranger.wait_for_serial("waits to be approved as pc-slw-pc9-4799", since)
    stranger.type("hall 3")
    stranger.press("ret")
    stranger.wait_for_serial("hall 3 can't be the name of a machine", since)
    stranger.type("hall3")
    stranger.press("ret")
    wait_until_it_asks(server, "hall3")
    stranger.wait_for_serial("waits to be approved as hall3", since)

    listed = run_playbook("register", quiet=True)
    assert listed.returncode == 0, listed.output
    assert MAC in listed.output and listed.changed == {}
    wishes = extra(approve={"hall3": NAME}, into="room_3")
    shown = run_playbook("register", options=f"{wishes} --check --diff", quiet=True)
    assert shown.returncode == 0 and not FILE.exists(), shown.output
    approved = run_playbook("register", options=wishes, quiet=True)
    assert approved.returncode == 0, approved.output
    tree = graph()
    assert "|--@room_3:" in tree and tree.count(f"|--{NAME}") == 2

    stranger.wait_for_serial(f"this PC is {NAME} now", since)
    stranger.wait_for_serial(f"Slipway - {NAME}", since, BOOT_SECONDS)
    stranger.wait_for_own_disk(since, BOOT_SECONDS)
    stranger.shutdown()

    saved = back_up(server, stranger)
    assert MAC in server.succeed("cat /etc/slipway/dhcp-hosts /var/lib/slipway-dnsmasq/leases")

    # Removed: a file less, and nothing of it is left but its images.
    FILE.unlink()
    gone = run_playbook("site", quiet=True)
    assert gone.returncode == 0, gone.output
    assert server.run(f"test -e {MENU}").returncode == 1
    left = server.succeed("cat /etc/slipway/dhcp-hosts /var/lib/slipway-dnsmasq/leases")
    assert MAC not in left
    assert NAME not in graph()
    assert versions(server, NAME) == saved

    # A stranger again: it registers without a question when the administrator turned that on.
    auto = run_playbook("menus", variables={"boot_menu_unknown_default": "register"}, quiet=True)
    assert auto.returncode == 0, auto.output
    since = stranger.console_offset()
    stranger.power_on()
    wait_until_it_asks(server, "pc-slw-pc9-4799")
    refused = run_playbook("register", options=extra(refuse="all", reason="not here"), quiet=True)
    assert refused.returncode == 0, refused.output
    stranger.wait_for_serial("Not registered. not here", since)
    stranger.cut_power()

    # And a machine once more, by a line of a list.
    table = tmp_path / "pcs.csv"
    table.write_text(f"name;macs;groups\n{NAME};{MAC.upper().replace(':', '-')};room_3\n")
    imported = run_playbook("machine_import", variables={"csv": table}, quiet=True)
    assert imported.returncode == 0, imported.output
    assert graph().count(f"|--{NAME}") == 2
    back_up(server, stranger)
