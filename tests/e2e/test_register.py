"""A PC that nobody knows registers itself, is approved, gets its menu, and is backed up.

One machine, three boots: into the registration, from there by itself into its menu and its own
disk, and woken for its backup.
"""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.control import admin, versions
from slipway_lab.api import Lab, Pc, Server
from slipway_lab.playbook_runs import ROOT, run_playbook

# Several boots of a PC: more than make test has time for.
pytestmark = pytest.mark.slow

MAC = "52:54:00:77:00:63"
STRANGER = {"name": "stranger", "like": "pc1", "macs": [MAC], "disk_serial": "SLW-PC9-4799"}
FILE = ROOT / "inventory/lab/machines.d/pc3.json"
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
    """A PC of the lab that is in no inventory, and registers without a question."""
    FILE.unlink(missing_ok=True)
    up = run_playbook("lab_up", options=extra(virtual_lab_strangers=[STRANGER]), quiet=True)
    assert up.returncode == 0, up.output
    auto = run_playbook("menus", variables={"boot_menu_unknown_default": "register"}, quiet=True)
    assert auto.returncode == 0, auto.output
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


def test_a_stranger_becomes_a_machine_and_is_gone_again(server: Server, stranger: Pc) -> None:
    assert "stranger" not in graph() and "pc3" not in graph()
    since = stranger.console_offset()
    stranger.power_on()
    wait_until_it_asks(server, "pc-slw-pc9-4799")
    stranger.wait_for_serial("waits to be approved as pc-slw-pc9-4799", since)

    listed = run_playbook("register", quiet=True)
    assert listed.returncode == 0, listed.output
    assert MAC in listed.output and listed.changed == {}
    wishes = extra(approve={"pc-slw-pc9-4799": "pc3"}, into="room_3")
    shown = run_playbook("register", options=f"{wishes} --check --diff", quiet=True)
    assert shown.returncode == 0 and not FILE.exists(), shown.output
    approved = run_playbook(
        "register",
        options=wishes,
        variables={"boot_menu_unknown_default": "register"},
        quiet=True,
    )
    assert approved.returncode == 0, approved.output
    tree = graph()
    assert "|--@room_3:" in tree and tree.count("|--pc3") == 2

    stranger.wait_for_serial("this PC is pc3 now", since)
    stranger.wait_for_serial("Slipway - pc3", since, BOOT_SECONDS)
    stranger.wait_for_own_disk(since, BOOT_SECONDS)
    stranger.shutdown()

    saved = run_playbook(
        "backup", limit="pc3", variables={"imaging_session_after": "poweroff"}, quiet=True
    )
    assert saved.returncode == 0, saved.output
    assert len(versions(server, "pc3")) == 1
    stranger.wait_until_off()
    assert MAC in server.succeed("cat /etc/slipway/dhcp-hosts /var/lib/misc/dnsmasq.leases")

    # Removed: a file less, and nothing of it is left but its images.
    FILE.unlink()
    gone = run_playbook("site", quiet=True)
    assert gone.returncode == 0, gone.output
    assert server.run(f"test -e {MENU}").returncode == 1
    left = server.succeed("cat /etc/slipway/dhcp-hosts /var/lib/misc/dnsmasq.leases")
    assert MAC not in left
    assert "pc3" not in graph()
    assert len(versions(server, "pc3")) == 1
