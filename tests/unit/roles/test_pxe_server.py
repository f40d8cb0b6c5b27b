# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's templates and preflight, run by Ansible for many servers; dnsmasq's word on it."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.plugin_utils import _dhcp_options

from .rendering import DNSMASQ, FACTS, ROOT, render, run

pytestmark = [pytest.mark.plays, pytest.mark.xdist_group("pxe_server")]

ROOM = {
    "network": "10.78.0.0/24",
    "range": {"first": "10.78.0.100", "last": "10.78.0.200"},
    "router": "10.78.0.1",
}
RANGE = {"first": "10.77.0.100", "last": "10.77.0.200"}

GOOD: dict[str, dict[str, Any]] = {
    "full": {"pxe_server_dhcp_range": RANGE, "pxe_server_dns": ["10.77.0.53"]},
    "full-rooms": {
        "pxe_server_dhcp_range": RANGE,
        "pxe_server_router": "10.77.0.254",
        "pxe_server_subnets": [
            ROOM,
            {
                **ROOM,
                "network": "10.79.0.0/16",
                "router": "10.79.0.1",
                "range": {"first": "10.79.0.9", "last": "10.79.9.9"},
            },
        ],
    },
    "full-cards": {
        "pxe_server_dhcp_range": RANGE,
        "pxe_server_subnets": [
            {"interface": "lab1", "range": {"first": "10.78.0.9", "last": "10.78.0.99"}},
            {
                **ROOM,
                "network": "10.79.0.0/16",
                "router": "10.79.0.1",
                "range": {"first": "10.79.0.9", "last": "10.79.9.9"},
            },
        ],
    },
    "proxy-cards": {"pxe_server_dhcp_mode": "proxy", "pxe_server_subnets": [{"interface": "lab1"}]},
    "none-cards": {"pxe_server_dhcp_mode": "none", "pxe_server_subnets": [{"interface": "lab1"}]},
    "full-grub": {"pxe_server_dhcp_range": RANGE, "pxe_server_uefi_loader": "grub"},
    "full-grub-all": {
        "pxe_server_dhcp_range": RANGE,
        "pxe_server_bios_loader": "grub",
        "pxe_server_uefi_loader": "grub",
    },
    "proxy": {"pxe_server_dhcp_mode": "proxy"},
    "proxy-grub": {"pxe_server_dhcp_mode": "proxy", "pxe_server_uefi_loader": "grub"},
    "proxy-grub-bios": {
        "pxe_server_dhcp_mode": "proxy",
        "pxe_server_bios_loader": "grub",
        "pxe_server_subnets": [{"interface": "lab1"}],
    },
    "proxy-rooms": {
        "pxe_server_dhcp_mode": "proxy",
        "pxe_server_subnets": [{"network": "10.78.0.0/24"}],
    },
    "none": {"pxe_server_dhcp_mode": "none"},
    "none-grub": {"pxe_server_dhcp_mode": "none", "pxe_server_uefi_loader": "grub"},
    "none-grub-bios": {"pxe_server_dhcp_mode": "none", "pxe_server_bios_loader": "grub"},
}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "bad-no-range": ({}, "set pxe_server_dhcp_range"),
    "bad-mode": ({"pxe_server_dhcp_mode": "proxi"}, "full, proxy, none"),
    "bad-bios-loader": (
        {"pxe_server_dhcp_range": RANGE, "pxe_server_bios_loader": "syslinux"},
        "pxe_server_bios_loader and pxe_server_uefi_loader of bad-bios-loader must be ipxe or grub",
    ),
    "bad-interface": (
        {"pxe_server_dhcp_range": RANGE, "pxe_server_interface": "eth9"},
        "has no network interface eth9",
    ),
    "bad-interface-text": ({"pxe_server_interface": "lab0\nuser=x"}, "must hold an interface"),
    "bad-address": (
        {"pxe_server_dhcp_range": RANGE, "image_server_address": "fd00::1"},
        "PCs boot by IPv4 alone",
    ),
    "bad-subnet": (
        {"pxe_server_dhcp_range": RANGE, "pxe_server_subnets": [{**ROOM, "router": "10.9.9.9"}]},
        "router 10.9.9.9 is not in 10.78.0.0/24",
    ),
    "bad-subnet-key": (
        {"pxe_server_dhcp_range": RANGE, "pxe_server_subnets": [{**ROOM, "gateway": "10.78.0.1"}]},
        "gateway",
    ),
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what each server would get."""
    folder = tmp_path_factory.mktemp("pxe")
    servers = {
        name: {"pxe_server_interface": "lab0", **variables} for name, variables in GOOD.items()
    }
    render(
        folder,
        servers,
        {
            "pc1": {
                "machine_macs": ["52:54:00:77:00:01"],
                "machine_ip": "10.77.0.21",
                "machine_image_server": "full",
            },
            "pc2": {"machine_macs": ["52:54:00:77:00:02"], "machine_boot_loader": "ipxe"},
            "pc3": {"machine_macs": ["52:54:00:77:00:0A"], "machine_boot_loader": "grub"},
        },
    )
    return folder


def rendered_text(rendered: Path, server: str, file: str) -> str:
    return (rendered / f"{server}.{file}").read_text()


def lines(rendered: Path, server: str) -> list[str]:
    text = rendered_text(rendered, server, "dnsmasq.conf")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("server", GOOD)
def test_dnsmasq_accepts_every_mode(rendered: Path, server: str) -> None:
    file = rendered / f"{server}.dnsmasq.conf"
    done = subprocess.run(
        [DNSMASQ, "--test", f"--conf-file={file}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("server", "asks"),
    [
        ("full", "10.77.0.1"),
        ("full-rooms", "10.77.0.1"),
        ("full-cards", "10.77.0.1 10.78.0.1"),
        ("proxy-grub-bios", "10.77.0.1 10.78.0.1"),
        ("none-grub-bios", "10.77.0.1"),
    ],
)
def test_grub_for_bios_is_locked_first_and_knows_the_servers_addresses(
    rendered: Path, server: str, asks: str
) -> None:
    file = rendered / f"{server}.grub-bios.cfg"
    done = subprocess.run(["grub-script-check", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert said[:2] == ["set superusers=nobody", "export superusers"]
    assert said.count(f"for slw_server in {asks}; do") == 2


@pytest.mark.parametrize("server", GOOD)
def test_tftp_is_there_and_a_name_server_is_not(rendered: Path, server: str) -> None:
    assert {"port=0", "interface=lab0", "enable-tftp"} <= set(lines(rendered, server))


def test_full_dhcp_hands_out_addresses_and_bids_ipxe_not_to_wait(rendered: Path) -> None:
    found = lines(rendered, "full")
    assert "dhcp-range=set:own,10.77.0.100,10.77.0.200,255.255.255.0,1h" in found
    assert "dhcp-option=tag:own,option:dns-server,10.77.0.53" in found
    # Without a router none is told: dnsmasq would name itself.
    assert "dhcp-option=tag:own,option:router" in found
    assert "dhcp-option=tag:ipxe,encap:175,176,1b" in found
    assert "dhcp-boot=tag:ipxe,tag:!grub,http://10.77.0.1/boot.ipxe,,10.77.0.1" in found
    hosts = (rendered / "full.dhcp-hosts").read_text()
    assert "52:54:00:77:00:01,10.77.0.21,pc1\n" in hosts


def test_each_subnet_is_told_its_own_router(rendered: Path) -> None:
    found = lines(rendered, "full-rooms")
    assert "dhcp-range=set:subnet1,10.78.0.100,10.78.0.200,255.255.255.0,1h" in found
    assert "dhcp-range=set:subnet2,10.79.0.9,10.79.9.9,255.255.0.0,1h" in found
    routers = [line for line in found if "option:router" in line]
    assert routers == [
        "dhcp-option=tag:own,option:router,10.77.0.254",
        "dhcp-option=tag:subnet1,option:router,10.78.0.1",
        "dhcp-option=tag:subnet2,option:router,10.79.0.1",
    ]


def test_each_card_is_served_and_told_its_own_address(rendered: Path) -> None:
    for server in ("full-cards", "proxy-cards", "none-cards"):
        cards = [line for line in lines(rendered, server) if line.startswith("interface=")]
        assert cards == ["interface=lab0", "interface=lab1"]
        assert 'iifname != { "lab0", "lab1" } accept' in rendered_text(rendered, server, "tftp.nft")
    found = lines(rendered, "full-cards")
    assert "dhcp-option=tag:subnet1,option:router" in found
    assert [line for line in found if "boot.ipxe" in line] == [
        "dhcp-boot=tag:ipxe,tag:!grub,tag:!subnet1,http://10.77.0.1/boot.ipxe,,10.77.0.1",
        "dhcp-boot=tag:ipxe,tag:!grub,tag:subnet1,http://10.78.0.1/boot.ipxe,,10.78.0.1",
    ]


@pytest.mark.parametrize("server", ["proxy", "proxy-rooms"])
def test_proxy_dhcp_hands_out_no_address_and_lets_ipxe_wait_for_it(
    rendered: Path, server: str
) -> None:
    found = lines(rendered, server)
    ranges = [line for line in found if line.startswith("dhcp-range=")]
    assert ranges[0] == "dhcp-range=set:own,10.77.0.0,proxy,255.255.255.0"
    assert all(",proxy," in line for line in ranges)
    assert len(ranges) == (2 if server == "proxy-rooms" else 1)
    assert [line for line in found if "175,176" in line or "authoritative" in line] == []
    assert "dhcp-boot=tag:ipxe,tag:!grub,http://10.77.0.1/boot.ipxe,,10.77.0.1" in found
    # Firmware alone is offered a service: for iPXE, a menu would come before its script.
    services = [line for line in found if line.startswith("pxe-service=")]
    kinds = [re.sub(r"tag:[^,]*,", "", line).split(",")[0] for line in services]
    assert kinds == [f"pxe-service={kind}" for kind in ("x86PC", "x86PC", "7", "7", "9", "9")]
    assert all(line.startswith("pxe-service=tag:!ipxe,") for line in services)


# What a real dnsmasq makes of it: test_real_dnsmasq.py.
@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("full", ["says-grub,52:54:00:77:00:0a"]),
        ("full-grub", ["says-grub,52:54:00:77:00:0a", "says-ipxe,52:54:00:77:00:02"]),
        ("full-grub-all", ["says-ipxe,52:54:00:77:00:02"]),
        ("proxy-grub-bios", ["says-ipxe,52:54:00:77:00:02", "says-grub,52:54:00:77:00:0a"]),
    ],
)
def test_machines_that_start_with_another_boot_loader_are_named(
    rendered: Path, server: str, said: list[str]
) -> None:
    found = lines(rendered, server)
    assert [line for line in found if line.startswith("dhcp-mac=")] == [
        f"dhcp-mac=set:{words}" for words in said
    ]


def test_no_dhcp_at_all(rendered: Path) -> None:
    assert [line for line in lines(rendered, "none") if "dhcp" in line or "pxe" in line] == []


@pytest.mark.parametrize("server", BAD)
def test_what_cannot_be_is_refused_before_anything_is_changed(tmp_path: Path, server: str) -> None:
    variables, says = BAD[server]
    render(tmp_path, {server: {"pxe_server_interface": "lab0", **variables}}, {})
    assert says in (tmp_path / f"{server}.refused").read_text()
    assert not (tmp_path / f"{server}.dnsmasq.conf").exists()


def test_the_playbook_prints_the_lines_for_other_servers(rendered: Path) -> None:
    said = run(
        rendered,
        str(ROOT / "playbooks/dhcp_options.yml"),
        *("-l", "proxy-rooms", "-e", "dhcp_server=isc"),
        *("-e", json.dumps({"ansible_facts": FACTS})),
    )
    assert "next-server 10.77.0.1;" in said
    assert "Kea" not in said


NETWORKS = {"own": {"address": "10.77.0.0"}, "subnets": [{"address": "10.78.0.0"}]}
URL = "http://10.77.0.1/boot.ipxe"


def text(kind: str) -> str:
    return "\n".join(_dhcp_options.lines(NETWORKS, "10.77.0.1", URL, [kind]))


@pytest.mark.parametrize("kind", _dhcp_options.SERVERS)
def test_every_server_is_told_about_bios_uefi_and_ipxe(kind: str) -> None:
    said = text(kind)
    for word in ("undionly.kpxe", "snponly.efi", URL, "10.77.0.1", "iPXE"):
        assert word in said
    assert "176" not in said, "another proxyDHCP server may be there"


def test_another_dnsmasq_accepts_its_lines() -> None:
    config = text("dnsmasq") + "\ndhcp-range=10.77.0.100,10.77.0.200\n"
    done = subprocess.run(
        [DNSMASQ, "--test", "--conf-file=-"],
        input=config,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", _dhcp_options.SERVERS)
@pytest.mark.parametrize(
    ("server", "most", "other", "mac"),
    [
        ("none", "snponly.efi", "shimx64.efi", "52:54:00:77:00:0a"),
        ("none", "undionly.kpxe", "grubpc.0", "52:54:00:77:00:0a"),
        ("none-grub", "shimx64.efi", "snponly.efi", "52:54:00:77:00:02"),
        ("none-grub-bios", "grubpc.0", "undionly.kpxe", "52:54:00:77:00:02"),
    ],
)
def test_other_servers_are_told_what_each_machine_loads(
    told: dict[str, str], kind: str, server: str, most: str, other: str, mac: str
) -> None:
    """What real servers make of it: test_real_dhcp_servers.py."""
    said = (
        told[server]
        .split(f"# --- {_dhcp_options.SERVERS[kind][0].split(',')[0]}")[1]
        .split("# ---")[0]
    )
    digits = mac.replace(":", "")
    assert any(form in said for form in (mac, digits, digits.upper()))
    assert most in said and other in said


@pytest.fixture(scope="module")
def told(rendered: Path) -> dict[str, str]:
    """What the playbook prints, by server."""
    book, facts = ROOT / "playbooks/dhcp_options.yml", json.dumps({"ansible_facts": FACTS})
    servers = ("none", "none-grub", "none-grub-bios")
    return {name: run(rendered, str(book), "-l", name, "-e", facts) for name in servers}


def test_keas_lines_are_a_member_of_an_object() -> None:
    body = "\n".join(text("kea").splitlines()[1:])
    classes = json.loads("{" + body + "}")["client-classes"]
    assert [entry["boot-file-name"] for entry in classes] == [URL, "undionly.kpxe", "snponly.efi"]
    assert all("not (option[77]" in entry["test"] for entry in classes[1:])


def test_windows_has_a_policy_for_each_kind_in_each_scope() -> None:
    said = text("windows").splitlines()
    assert 'foreach ($scope in "10.77.0.0", "10.78.0.0") {' in said
    policies = [line for line in said if "Add-DhcpServerv4Policy" in line]
    assert len(policies) == 4
    assert all('-UserClass NE,"Slipway iPXE"' in line for line in policies[1:])
    # A condition names a class, so each class must be there before.
    assert sum("Add-DhcpServerv4Class" in line for line in said[:5]) == 4


def test_isc_gives_ipxe_its_script_first() -> None:
    said = text("isc")
    assert said.index('"iPXE"') < said.index("00:00") < said.index("00:07")
    assert said.count("{") == said.count("}")
