# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbooks/dhcp_options.yml prints, taken and acted on by the real servers of this host."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.plugin_utils import _dhcp_options, _udp_ports

from ...e2e.foreign import ASK
from .namespace import Namespace, server_and_pcs

pytestmark = [pytest.mark.plays, pytest.mark.xdist_group("pxe_server")]

URL = "http://10.77.0.5/boot.ipxe"
NETWORKS = {"own": {"address": "10.77.0.0"}, "subnets": []}
# The card of e2e.foreign's ASK is the first of these.
CARDS = ("52:54:00:77:00:aa", "52:54:00:77:00:ab")
STRANGERS = ("52:54:00:77:00:ac",)
# What BIOS and UEFI machines load.
IPXE = ("undionly.kpxe", "snponly.efi")
GRUB = ("grubpc.0", "shimx64.efi")

PROGRAMS = {"isc": "dhcpd", "kea": "kea-dhcp4", "dnsmasq": "dnsmasq"}


def program(kind: str) -> str:
    found = shutil.which(PROGRAMS[kind], path="/usr/sbin:/usr/bin:/sbin")
    if found is None:
        # Installing these starts them, which is nothing that tests should do to a host.
        pytest.skip(f"no {PROGRAMS[kind]} on this host")
    return found


def start(kind: str, lines: str, folder: Path) -> list[str]:
    """Write the server's whole configuration, and return the command that runs it."""
    file = folder / "config"
    binary = program(kind)
    if kind == "isc":
        subnet = "subnet 10.77.0.0 netmask 255.255.255.0 { range 10.77.0.150 10.77.0.190; }"
        file.write_text(f"ddns-update-style none;\n{lines}\n{subnet}\n")
        (folder / "leases").touch()
        run = [binary, "-f", "-d", "-user", "root", "-group", "root", "-cf", str(file)]
        return [*run, "-lf", str(folder / "leases"), "-pf", str(folder / "pid"), "lab0"]
    if kind == "kea":
        pool = {"subnet": "10.77.0.0/24", "pools": [{"pool": "10.77.0.150-10.77.0.190"}]}
        rest = {
            "interfaces-config": {"interfaces": ["lab0"]},
            "lease-database": {"type": "memfile", "persist": False},
            "subnet4": [{**pool, "id": 1}],
        }
        body = json.dumps(rest)[1:-1]
        file.write_text('{"Dhcp4": {' + lines + ", " + body + "}}")
        return [
            "env",
            "KEA_LOCKFILE_DIR=none",
            f"KEA_PIDFILE_DIR={folder}",
            binary,
            "-c",
            str(file),
        ]
    rest = f"port=0\ndhcp-leasefile={folder / 'leases'}\ndhcp-range=10.77.0.150,10.77.0.190\n"
    file.write_text(f"{lines}\n{rest}")
    return [binary, "--no-daemon", f"--conf-file={file}"]


@contextmanager
def running(server: Namespace, command: list[str], folder: Path) -> Iterator[None]:
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(server.words(*command), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while ":67 " not in server.run("ss", "-Hlun"):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def network() -> Iterator[tuple[Namespace, Namespace]]:
    with server_and_pcs() as both:
        yield both


@pytest.mark.parametrize("kind", PROGRAMS)
def test_each_of_them_beside_ours_is_named(
    network: tuple[Namespace, Namespace], tmp_path: Path, kind: str
) -> None:
    server, _ = network
    _, *lines = _dhcp_options.lines(NETWORKS, "10.77.0.5", URL, [kind])
    with running(server, start(kind, "\n".join(lines), tmp_path), tmp_path):
        heard = server.run("ss", "-Hlunp").splitlines()
    here = [{"interface": "lab0", "server": "10.77.0.1"}]
    (said,) = _udp_ports.clashes(heard, "full", here, [])
    assert said.startswith(f"{PROGRAMS[kind]} (process ") and "UDP port 67" in said


@pytest.mark.parametrize("kind", PROGRAMS)
@pytest.mark.parametrize(
    ("bios", "uefi", "macs", "told"),
    [
        (IPXE[0], IPXE[1], (), IPXE),
        (GRUB[0], GRUB[1], (), GRUB),
        (IPXE[0], GRUB[1], (), (IPXE[0], GRUB[1])),
        (IPXE[0], IPXE[1], CARDS, GRUB),
        (GRUB[0], GRUB[1], CARDS, IPXE),
        (GRUB[0], IPXE[1], CARDS, (IPXE[0], GRUB[1])),
        (IPXE[0], IPXE[1], STRANGERS, IPXE),
    ],
)
def test_a_real_server_tells_each_pc_what_it_loads(
    network: tuple[Namespace, Namespace],
    tmp_path: Path,
    kind: str,
    bios: str,
    uefi: str,
    macs: tuple[str, ...],
    told: tuple[str, str],
) -> None:
    server, pcs = network
    loaders = {
        firmware: _dhcp_options.Loaders(most, grub if most == ipxe else ipxe, macs)
        for firmware, most, ipxe, grub in zip(
            ("bios", "uefi"), (bios, uefi), IPXE, GRUB, strict=True
        )
    }
    _, *lines = _dhcp_options.lines(NETWORKS, "10.77.0.5", URL, [kind], loaders)
    asks = [
        ("bios", 1, 0, False, "", "", 67),
        ("bios ipxe", 1, 0, True, "", "", 67),
        ("uefi 7", 1, 7, False, "", "", 67),
        ("uefi 9", 1, 9, False, "", "", 67),
        ("uefi ipxe", 1, 7, True, "", "", 67),
    ]
    with running(server, start(kind, "\n".join(lines), tmp_path), tmp_path):
        said = pcs.python(ASK.replace('b"eth0"', 'b"pc0"'), "10.77.0.1", json.dumps(asks))
    offers: dict[str, Any] = json.loads(said)
    assert {name: offer["file"] for name, offer in offers.items()} == {
        "bios": told[0],
        "bios ipxe": URL,
        "uefi 7": told[1],
        "uefi 9": told[1],
        "uefi ipxe": URL,
    }
    assert {offer["server"] for offer in offers.values()} == {"10.77.0.5"}
