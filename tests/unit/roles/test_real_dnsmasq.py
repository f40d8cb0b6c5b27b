# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's own configuration under a real dnsmasq, in a network of its own."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.plugin_utils import _udp_ports

from ...e2e.foreign import ASK
from .namespace import Namespace, server_and_pcs
from .rendering import DNSMASQ, render

pytestmark = [pytest.mark.plays, pytest.mark.xdist_group("pxe_server")]

RANGE = {"first": "10.77.0.100", "last": "10.77.0.200"}
ROOM = {"interface": "lab1", "range": {"first": "10.78.0.100", "last": "10.78.0.200"}}
SERVERS: dict[str, dict[str, Any]] = {
    "full": {"pxe_server_dhcp_range": RANGE, "pxe_server_subnets": [ROOM]},
    "name": {"pxe_server_dhcp_range": RANGE, "image_server_address": "imgserver"},
    "proxy": {"pxe_server_dhcp_mode": "proxy", "pxe_server_subnets": [{"interface": "lab1"}]},
    "none": {"pxe_server_dhcp_mode": "none", "pxe_server_subnets": [{"interface": "lab1"}]},
}

# Each asks for a file from an address of its own, or many times from one and never takes it.
TFTP = r"""
import json, socket, struct, sys, threading

server, (dead_from, dead), pcs = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
ASK = b"\0\1loader\0octet\0blksize\0" + b"1408\0"
held = []
for number in range(dead):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((dead_from, 0))
    one.sendto(ASK, (server, 69))
    held.append(one) if number < 900 else one.close()
got = {}


def fetch(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind((address, 0))
        one.settimeout(3)
        size = 0
        for _try in range(4):
            try:
                one.sendto(ASK, (server, 69))
                packet, peer = one.recvfrom(2000)
                break
            except TimeoutError:
                continue
        else:
            return
        if packet[:2] != b"\0\6":
            got[address] = repr(packet)
            return
        one.sendto(b"\0\4\0\0", peer)
        wanted = 1
        while True:
            packet, peer = one.recvfrom(2000)
            kind, block = struct.unpack("!HH", packet[:4])
            one.sendto(struct.pack("!HH", 4, block), peer)
            if kind == 3 and block == wanted:
                size, wanted = size + len(packet) - 4, wanted + 1
                if len(packet) < 1412:
                    break
        got[address] = size


threads = [threading.Thread(target=fetch, args=(pc,)) for pc in pcs]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(got))
"""
ROOM_OF_60 = [f"10.77.0.{number}" for number in range(20, 80)]
LOADER_BYTES = 300_000


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    servers = {name: {"pxe_server_interface": "lab0", **more} for name, more in SERVERS.items()}
    render(folder, servers, {})
    return folder


@pytest.fixture
def network() -> Iterator[tuple[Namespace, Namespace]]:
    with server_and_pcs() as both:
        yield both


@contextmanager
def running(server: Namespace, config: str, port: int) -> Iterator[subprocess.Popen[str]]:
    """A dnsmasq in the server's namespace, once it listens."""
    # As the one user that the namespace knows.
    words = server.words(DNSMASQ, "--no-daemon", "--conf-file=-")
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdin is not None
        process.stdin.write(config)
        process.stdin.close()
        process.stdin = None
        deadline = time.monotonic() + 30
        while f"pid={process.pid}," not in server.run("ss", "-Hlunp", f"sport = :{port}"):
            assert process.poll() is None, process.stdout and process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def slipway(server: Namespace, rendered: Path, name: str, folder: Path) -> Iterator[Any]:
    """The role's dnsmasq: its files lie elsewhere."""
    tree = folder / "tftp"
    tree.mkdir()
    (tree / "loader").write_bytes(b"x" * LOADER_BYTES)
    text = (rendered / f"{name}.dnsmasq.conf").read_text()
    for there, here in (
        ("/srv/slipway/tftp", str(tree)),
        ("/var/lib/slipway-dnsmasq/leases", str(folder / "leases")),
    ):
        text = text.replace(there, here)
    with running(server, text, 69) as process:
        yield process


def fetched(pcs: Namespace, dead: int, by: list[str]) -> dict[str, Any]:
    found = pcs.python(TFTP, "10.77.0.1", json.dumps(["10.77.0.9", dead]), json.dumps(by))
    result: dict[str, Any] = json.loads(found)
    return result


def sockets(process: Any) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


@pytest.mark.parametrize("name", ["full", "none"])
def test_a_room_of_60_boots_at_once_beside_60_transfers_that_nobody_takes(
    network: tuple[Namespace, Namespace], rendered: Path, tmp_path: Path, name: str
) -> None:
    server, pcs = network
    with slipway(server, rendered, name, tmp_path):
        assert fetched(pcs, 60, ROOM_OF_60) == dict.fromkeys(ROOM_OF_60, LOADER_BYTES)


def test_one_sender_has_less_than_a_third_of_all_transfers(
    network: tuple[Namespace, Namespace], rendered: Path, tmp_path: Path
) -> None:
    server, pcs = network
    server.run("nft", "-f", str(rendered / "full.tftp.nft"))
    # It is loaded at each start of the unit.
    server.run("nft", "-f", str(rendered / "full.tftp.nft"))
    with slipway(server, rendered, "full", tmp_path) as process:
        assert fetched(pcs, 3000, ROOM_OF_60) == dict.fromkeys(ROOM_OF_60, LOADER_BYTES)
        assert sockets(process) < 350
    server.run("nft", "delete", "table", "inet", "slipway_tftp")


def offers(pcs: Namespace, card: str, server: str, mine: str = "") -> dict[str, Any]:
    """What firmware and iPXE are offered behind one card; `mine` is an address that they have."""
    asks = [
        (f"{who}{' ipxe' if ipxe else ''}", 1, arch, ipxe, mine, "", 67)
        for who, arch in (("bios", 0), ("uefi", 7))
        for ipxe in (False, True)
    ]
    return asked(pcs, card, server, asks)


def proxy_files(pcs: Namespace, card: str, net: str, menu: dict[str, Any]) -> dict[str, Any]:
    """What a proxyDHCP server names on its second port, to BIOS firmware for the menu's service."""
    vendor, at = bytes.fromhex(menu["options"]["43"]), 0
    while vendor[at] != 9:
        at += 2 + vendor[at + 1]
    # One service, of two bytes; its length and name follow.
    assert 4 + len(b"Slipway") - 1 == vendor[at + 1]
    service = bytes([71, 4, *vendor[at + 2 : at + 4], 0, 0, 255]).hex()
    asks = [
        ("bios", 3, 0, False, f"{net}.5", "", 4011, service),
        ("uefi", 3, 7, False, f"{net}.5", "", 4011),
    ]
    return asked(pcs, card, f"{net}.1", asks)


def asked(pcs: Namespace, card: str, server: str, asks: list[Any]) -> dict[str, Any]:
    program = ASK.replace('b"eth0"', f'b"{card}"')
    found: dict[str, Any] = json.loads(pcs.python(program, server, json.dumps(asks)))
    return found


@pytest.mark.parametrize("name", ["full", "proxy"])
def test_each_of_our_networks_is_told_the_address_that_it_reaches(
    network: tuple[Namespace, Namespace], rendered: Path, tmp_path: Path, name: str
) -> None:
    server, pcs = network
    with slipway(server, rendered, name, tmp_path):
        for card, net in (("pc0", "10.77.0"), ("pc1", "10.78.0")):
            told = offers(pcs, card, f"{net}.1", f"{net}.5" if name == "proxy" else "")
            for who in ("bios ipxe", "uefi ipxe"):
                assert told[who]["file"] == f"http://{net}.1/boot.ipxe"
                assert told[who]["server"] == f"{net}.1"
            if name == "full":
                assert told["bios"]["file"] == "undionly.kpxe"
                assert {offer["server"] for offer in told.values()} == {f"{net}.1"}
                assert all(offer["address"].startswith(f"{net}.") for offer in told.values())


@pytest.mark.parametrize("mode", ["full", "proxy"])
@pytest.mark.parametrize(
    ("bios", "uefi", "says", "told"),
    [
        ("ipxe", "ipxe", None, ("undionly.kpxe", "snponly.efi")),
        ("grub", "grub", None, ("grubpc.0", "shimx64.efi")),
        ("ipxe", "grub", None, ("undionly.kpxe", "shimx64.efi")),
        ("ipxe", "ipxe", "grub", ("grubpc.0", "shimx64.efi")),
        ("grub", "ipxe", "grub", ("grubpc.0", "shimx64.efi")),
        ("grub", "ipxe", "ipxe", ("undionly.kpxe", "snponly.efi")),
    ],
)
def test_each_machine_is_told_its_boot_loader(
    network: tuple[Namespace, Namespace],
    tmp_path: Path,
    mode: str,
    bios: str,
    uefi: str,
    says: str | None,
    told: tuple[str, str],
) -> None:
    server, pcs = network
    settings = SERVERS[mode] | {"pxe_server_bios_loader": bios, "pxe_server_uefi_loader": uefi}
    machine = {"machine_macs": ["52:54:00:77:00:aa"]}
    machine |= {"machine_boot_loader": says} if says else {}
    render(tmp_path, {"one": {"pxe_server_interface": "lab0", **settings}}, {"pc1": machine})
    with slipway(server, tmp_path, "one", tmp_path):
        for card, net in (("pc0", "10.77.0"), ("pc1", "10.78.0")):
            found = offers(pcs, card, f"{net}.1", f"{net}.5" if mode == "proxy" else "")
            if mode == "proxy":
                found |= proxy_files(pcs, card, net, found["bios"])
            script = f"http://{net}.1/boot.ipxe"
            assert {name: offer["file"] for name, offer in found.items()} == {
                "bios": told[0],
                "uefi": told[1],
                # shim does not start from such a ROM.
                "bios ipxe": told[0] if told[0] == "grubpc.0" else script,
                "uefi ipxe": script,
            }
            assert {offer["server"] for offer in found.values()} == {f"{net}.1"}


def test_where_the_server_has_a_name_pcs_are_told_its_address(
    network: tuple[Namespace, Namespace], rendered: Path, tmp_path: Path
) -> None:
    server, pcs = network
    with slipway(server, rendered, "name", tmp_path):
        told = offers(pcs, "pc0", "10.77.0.1")
    assert told["uefi ipxe"]["file"] == "http://10.77.0.1/boot.ipxe"


NAMES = (
    "no-resolv\nno-hosts\nuser=root\naddress=/files.room/10.77.0.7\npid-file={folder}/other.pid\n"
)
LIBVIRT = "port=0\nbind-dynamic\ninterface=virbr0\nexcept-interface=lo\n"
LIBVIRT += "dhcp-range=192.168.122.10,192.168.122.90\ndhcp-leasefile={folder}/other.leases\n"
DHCP = "port=0\ndhcp-leasefile={folder}/other.leases\n"
DHCP += "dhcp-range=10.77.0.150,10.77.0.160\n"
NAME_QUERY = r"""
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
    asker.settimeout(10)
    asker.sendto(b"\x12\x34\1\0\0\1" + bytes(6) + b"\5files\4room\0\0\1\0\1", (sys.argv[1], 53))
    print(socket.inet_ntoa(asker.recv(512)[-4:]))
"""


def clashes(server: Namespace, mode: str = "full") -> list[str]:
    lines = server.run("ss", "-H", "-l", "-u", "-n", "-p").splitlines()
    networks = [{"interface": "lab0", "server": "10.77.0.1"}]
    return _udp_ports.clashes(lines, mode, networks, [])


@pytest.mark.parametrize("first", ["name server", "slipway"])
def test_a_dnsmasq_that_is_the_hosts_name_server_goes_on(
    network: tuple[Namespace, Namespace], rendered: Path, tmp_path: Path, first: str
) -> None:
    server, pcs = network
    ours = slipway(server, rendered, "full", tmp_path)
    theirs = running(server, NAMES, 53)
    order = (theirs, ours) if first == "name server" else (ours, theirs)
    with order[0], order[1]:
        assert pcs.python(NAME_QUERY, "10.77.0.1").strip() == "10.77.0.7"
        assert server.python(NAME_QUERY, "127.0.0.1").strip() == "10.77.0.7"
        assert offers(pcs, "pc0", "10.77.0.1")["bios"]["file"] == "undionly.kpxe"


def test_the_dnsmasq_of_virtual_machines_is_in_nobodys_way(
    network: tuple[Namespace, Namespace], rendered: Path, tmp_path: Path
) -> None:
    server, pcs = network
    server.run("ip", "link", "add", "virbr0", "type", "bridge")
    server.run("ip", "address", "add", "192.168.122.1/24", "dev", "virbr0")
    server.run("ip", "link", "set", "virbr0", "up")
    with running(server, LIBVIRT.format(folder=tmp_path), 67):
        assert clashes(server) == []
        with slipway(server, rendered, "full", tmp_path):
            told = offers(pcs, "pc0", "10.77.0.1")
            assert told["bios"]["file"] == "undionly.kpxe"


@pytest.mark.parametrize("more", ["", "bind-dynamic\ninterface=lab0\n", "interface=lab0\n"])
def test_another_dhcp_server_of_the_host_is_named(
    network: tuple[Namespace, Namespace], tmp_path: Path, more: str
) -> None:
    server, _ = network
    with running(server, DHCP.format(folder=tmp_path) + more, 67) as process:
        (said,) = clashes(server)
        assert f"dnsmasq (process {process.pid}) has UDP port 67" in said
        assert "Remedy: " in said and "dhcp_options.yml" in said
        # Slipway's DHCP is off: then it is only told what to say.
        assert clashes(server, "none") == []


@pytest.mark.parametrize(("mode", "port"), [("none", 69), ("full", 69), ("proxy", 4011)])
def test_another_tftp_or_boot_server_is_named(
    network: tuple[Namespace, Namespace], mode: str, port: int
) -> None:
    server, _ = network
    program = f"import socket,time; s=socket.socket(2,2); s.bind(('',{port})); print(flush=True)"
    program += "; time.sleep(60)"
    words = server.words("python3", "-c", program)
    with subprocess.Popen(words, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            (said,) = clashes(server, mode)
        finally:
            other.kill()
    assert f"UDP port {port}" in said and "Remedy: " in said
