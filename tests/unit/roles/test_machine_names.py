# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and MAC addresses as inventories have them, and what a real dnsmasq makes of them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ...fixtures import warm_python

pytestmark = [pytest.mark.plays, pytest.mark.xdist_group("pxe_server")]

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
DNSMASQ = shutil.which("dnsmasq") or "/usr/sbin/dnsmasq"
SPELLINGS = [
    "52:54:00:ab:00:{:02x}",
    "52:54:00:AB:00:{:02X}",
    "52-54-00-ab-00-{:02x}",
    "52-54-00-AB-00-{:02X}",
    "52.54.00.ab.00.{:02x}",
    "5254.00ab.00{:02x}",
    "5254-00AB-00{:02X}",
    "525400-ab00{:02x}",
    "525400:AB00{:02X}",
    "525400ab00{:02x}",
    " 52:54:00:ab:00:{:02x} ",
    "\u00a052-54-00-ab-00-{:02x}\u00a0",
    # All digits: in quotation marks, YAML lets them be.
    "525400000{:03d}",
]
# What dnsmasq would take for a time, an order or a number, and what it would not.
NAMES = [
    "10234",
    "0",
    "5m",
    "90s",
    "12h",
    "2d",
    "1w",
    "infinite",
    "ignore",
    "m",
    "5-m",
    "m5",
    "1e5",
    "0x1f",
    "0010",
    "99999999999999999999",
    "set",
    "tag",
    "id",
    "net",
    "pc-",
    "pc--1",
    "xn--pc",
    "a" * 63,
    "pc1",
    "infinite-1",
    "on",
    "null",
    "items",
]
PLAY = """
- hosts: img
  gather_facts: false
  tasks:
    - ansible.builtin.include_vars:
        file: "{{ role }}/vars/main.yml"
    - ansible.builtin.template:
        src: "{{ role }}/templates/etc/slipway/dhcp-hosts.j2"
        dest: "{{ out }}/dhcp-hosts"
        mode: "0644"
"""
FACTS = {
    "interfaces": ["lab0"],
    "lab0": {"device": "lab0", "ipv4": {"address": "10.77.0.1", "netmask": "255.255.255.0"}},
}
PREFLIGHT = """
- hosts: img
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: slipway.imaging.pxe_server
        tasks_from: preflight
"""


def play(
    folder: Path, text: str, machines: dict[str, Any] | str, **variables: Any
) -> subprocess.CompletedProcess[str]:
    """Run a play for an image server whose inventory has these machines."""
    server = {
        "ansible_connection": "local",
        "ansible_python_interpreter": warm_python.for_modules(),
        "image_server_address": "10.77.0.1",
        "pxe_server_interface": "lab0",
        "pxe_server_dhcp_mode": "none",
        "out": str(folder),
        "role": str(ROOT / "roles/pxe_server"),
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump({"image_servers": {"hosts": {"img": server}}}))
    hosts = machines if isinstance(machines, str) else yaml.safe_dump(machines, sort_keys=False)
    (folder / "machines.yml").write_text(hosts)
    (folder / "play.yml").write_text(text)
    environment = {
        **os.environ,
        "ANSIBLE_NOCOLOR": "1",
        "COLUMNS": "5000",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    }
    command = [*warm_python.ansible(environment), "play.yml"]
    command += ["-i", "hosts.yml", "-i", "machines.yml", "-e", json.dumps(variables)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def machines(hosts: dict[str, Any]) -> dict[str, Any]:
    return {"machines": {"hosts": hosts}}


def rendered(folder: Path, hosts: dict[str, Any]) -> list[str]:
    """The lines that dnsmasq gets, which it accepts."""
    done = play(folder, PLAY, machines(hosts))
    assert done.returncode == 0, done.stdout + done.stderr
    found = (folder / "dhcp-hosts").read_text().splitlines()
    found = [line for line in found if line and not line.startswith("#")]
    config = "".join(f"dhcp-host={line}\n" for line in found)
    test = subprocess.run(
        [DNSMASQ, "--test", "--conf-file=-"],
        input=config,
        text=True,
        capture_output=True,
        check=False,
    )
    assert test.returncode == 0, test.stderr
    return found


def leases(folder: Path, macs: list[str]) -> list[dict[str, Any]]:
    """What a real dnsmasq gives to cards, in a network namespace of their own."""
    apart = ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*apart, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this host lets nobody make a network namespace")
    command = [*apart, sys.executable, str(HERE / "dhcp_client.py")]
    done = subprocess.run(
        [*command, str(folder), *macs], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_card_of_several_has_neither_a_name_nor_an_address(tmp_path: Path) -> None:
    """It is a dock's: DHCP can't tell which of its machines asks."""
    dock, uuid = "52:54:00:ab:00:d0", "4c4c4544-0001-100{}-8020-b7c04f202020"
    hosts = {
        "pc1": {"machine_macs": [dock.upper()], "machine_uuid": uuid.format(1)},
        "pc2": {
            "machine_macs": ["5254.00ab.00d0", "52:54:00:ab:00:02"],
            "machine_uuid": uuid.format(2),
        },
        "pc3": {"machine_macs": ["52:54:00:ab:00:03"], "machine_ip": "10.9.9.13"},
    }
    assert rendered(tmp_path, hosts) == [
        "52:54:00:ab:00:02,pc2",
        "52:54:00:ab:00:03,10.9.9.13,pc3",
    ]


def test_every_spelling_of_a_mac_address_reaches_dnsmasq_as_one(tmp_path: Path) -> None:
    hosts = {
        f"pc{number}": {
            "machine_macs": [text.format(number)],
            "machine_ip": f"10.9.9.{number + 10}",
        }
        for number, text in enumerate(SPELLINGS)
    }
    macs = [line.split(",")[0] for line in rendered(tmp_path, hosts)]
    last = len(SPELLINGS) - 1
    wanted = [f"52:54:00:ab:00:{number:02x}" for number in range(last)]
    assert macs == [*wanted, f"52:54:00:00:00:{last:02d}"]
    found = leases(tmp_path, macs)
    assert [lease["address"] for lease in found] == [
        f"10.9.9.{number + 10}" for number in range(len(SPELLINGS))
    ]


def test_no_name_is_read_as_anything_else(tmp_path: Path) -> None:
    hosts = {
        name: {
            "machine_macs": [f"52:54:00:77:00:{number:02x}"],
            "machine_ip": f"10.9.9.{number + 10}",
        }
        for number, name in enumerate(NAMES)
    }
    macs = [line.split(",")[0] for line in rendered(tmp_path, hosts)]
    found = leases(tmp_path, macs)
    by_mac = {lease["mac"]: lease for lease in found}
    for number, name in enumerate(NAMES):
        lease = by_mac[f"52:54:00:77:00:{number:02x}"]
        assert (lease["name"], lease["address"], lease["seconds"]) == (
            name,
            f"10.9.9.{number + 10}",
            3600,
        )


BAD = {
    "a number to YAML (minutes)": ("pc1: {machine_macs: [52:54:00:12:34:56]}", "quotation marks"),
    "a number to YAML (digits)": ("pc1: {machine_macs: [525400123456]}", "quotation marks"),
    "a number to YAML (octal)": ("pc1: {machine_macs: [001122334455]}", "quotation marks"),
    "no list": ('pc1: {machine_macs: "52:54:00:12:34:56"}', "are no list"),
    "no list, and a number": ("pc1: {machine_macs: 52:54:00:12:34:56}", "are no list"),
    "multicast": ('pc1: {machine_macs: ["01-00-5E-00-00-01"]}', "a group of cards"),
    "broadcast": ('pc1: {machine_macs: ["ffff.ffff.ffff"]}', "a group of cards, or all"),
    "zero": ('pc1: {machine_macs: ["000000000000"]}', "stands for none"),
    "too short": ('pc1: {machine_macs: ["52:54:00:12:34"]}', "is no MAC address"),
    "two at one machine": (
        'pc1: {machine_macs: ["52:54:00:12:34:56", "5254.0012.3456"]}',
        "'5254.0012.3456' stands there twice, the first time as '52:54:00:12:34:56'",
    ),
    "one of two machines": (
        'pc1: {machine_macs: ["52-54-00-12-34-56"]}\n    pc2: {machine_macs: ["525400123456"]}',
        "pc1 and pc2 both have the MAC address 52:54:00:12:34:56",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_cards_address_is_refused(tmp_path: Path, case: str) -> None:
    hosts, says = BAD[case]
    text = f"machines:\n  hosts:\n    {hosts}\n"
    done = play(tmp_path, PREFLIGHT, text, ansible_facts=FACTS)
    assert done.returncode != 0
    assert says in done.stdout, done.stdout
    assert "Nothing was changed" in done.stdout


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = (
        "machines: {hosts: {pc1: {machine_macs: [52:54:00:12:34:56, x]}, pc2: {machine_macs: [y]}}}"
    )
    done = play(tmp_path, PREFLIGHT, text, ansible_facts=FACTS)
    for words in ("pc1: ", "(not text)", "'x' is no MAC", "pc2: 'y' is no MAC"):
        assert words in done.stdout
