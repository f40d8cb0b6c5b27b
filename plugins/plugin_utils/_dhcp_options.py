# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a DHCP server that is not ours must be told, in the words of each of four.

Every text says the same: a boot loader for BIOS, one for x86-64 UEFI, another one of each for some
machines, told by their MAC addresses, and the first script for iPXE. Architectures as in RFC 4578,
2.1: 0 is BIOS, 7 and 9 are both used for x86-64 UEFI. iPXE calls itself `iPXE` in the user class
(option 77).
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean

# Architectures by firmware.
FIRMWARE = {"bios": (0,), "uefi": (7, 9)}


@dataclass(frozen=True)
class Loaders:
    """What machines load: most of them, and those with these cards (as aa:bb:cc:dd:ee:ff)."""

    most: str
    other: str
    other_macs: tuple[str, ...] = ()


USUAL = {
    "bios": Loaders("undionly.kpxe", "grubpc.0"),
    "uefi": Loaders("snponly.efi", "shimx64.efi"),
}


@dataclass(frozen=True)
class Boot:
    """What is told: the TFTP server's address, the script's URL, and the networks it is told to."""

    server: str
    url: str
    networks: tuple[str, ...]
    loaders: Mapping[str, Loaders]
    """By firmware."""


def isc(boot: Boot) -> list[str]:
    """Return lines for ISC dhcpd's dhcpd.conf."""
    cases = []
    for firmware, loaders in boot.loaders.items():
        archs = " or ".join(f"option slipway-arch = 00:{arch:02x}" for arch in FIRMWARE[firmware])
        cards = " or\n      ".join(f"hardware = 1:{mac}" for mac in loaders.other_macs)
        file = [f'    filename "{loaders.most}";']
        if cards:
            # One condition in another: dhcpd takes no `and` behind a bracket.
            other = f'      filename "{loaders.other}";'
            file = [f"    if {cards} {{", other, "    } else {", f"  {file[0]}", "    }"]
        cases += [f"  }} elsif {archs} {{", *file]
    return [
        "option slipway-arch code 93 = unsigned integer 16;",
        'class "slipway" {',
        '  match if substring(option vendor-class-identifier, 0, 9) = "PXEClient";',
        f"  next-server {boot.server};",
        '  if exists user-class and option user-class = "iPXE" {',
        f'    filename "{boot.url}";',
        *cases,
        "  }",
        "}",
    ]


def kea(boot: Boot) -> list[str]:
    """Return classes for the `Dhcp4` object of Kea's kea-dhcp4.conf."""
    pxe = "substring(option[60].hex,0,9) == 'PXEClient'"
    ipxe = "option[77].exists and substring(option[77].hex,0,4) == 'iPXE'"
    classes, tests = [], {"slipway-ipxe": (ipxe, boot.url)}
    for firmware, loaders in boot.loaders.items():
        archs = " or ".join(f"option[93].hex == 0x{arch:04x}" for arch in FIRMWARE[firmware])
        kind = f"{pxe} and ({archs}) and not ({ipxe})"
        name = f"slipway-{firmware}"
        cards = " or ".join(f"pkt4.mac == 0x{mac.replace(':', '')}" for mac in loaders.other_macs)
        if cards:
            classes.append({"name": f"{name}-cards", "test": cards})
            tests[f"{name}-other"] = (f"{kind} and member('{name}-cards')", loaders.other)
            kind += f" and not member('{name}-cards')"
        tests[name] = (kind, loaders.most)
    classes += [
        {"name": name, "test": test, "next-server": boot.server, "boot-file-name": file}
        for name, (test, file) in tests.items()
    ]
    # A member of the Dhcp4 object: its lines without the braces around it.
    return json.dumps({"client-classes": classes}, indent=2).splitlines()[1:-1]


def windows(boot: Boot) -> list[str]:
    """Return PowerShell lines for Windows DHCP: one policy for each kind of client and scope.

    No option 60: it belongs only where DHCP and TFTP server are the same machine.
    """
    classes = {
        f"Slipway {firmware.upper()} {arch}": (loaders, f"PXEClient:Arch:{arch:05}")
        for firmware, loaders in boot.loaders.items()
        for arch in FIRMWARE[firmware]
    }
    lines = ['Add-DhcpServerv4Class -Name "Slipway iPXE" -Type User -Data "iPXE"']
    lines += [
        f'Add-DhcpServerv4Class -Name "{name}" -Type Vendor -Data "{data}"'
        for name, (_, data) in classes.items()
    ]
    scopes = ", ".join(f'"{network}"' for network in boot.networks)
    lines.append(f"foreach ($scope in {scopes}) {{")
    policies = [("Slipway iPXE", '-UserClass EQ,"Slipway iPXE"', boot.url)]
    for name, (loaders, _) in classes.items():
        match = f'-VendorClass EQ,"{name}*" -UserClass NE,"Slipway iPXE"'
        # The first policy that fits decides.
        if loaders.other_macs:
            cards = ",".join(f'"{mac.replace(":", "").upper()}"' for mac in loaders.other_macs)
            policies.append((f"{name} other", f"{match} -MacAddress EQ,{cards}", loaders.other))
        policies.append((name, match, loaders.most))
    for name, match, file in policies:
        policy = f'-PolicyName "{name}" -ScopeId $scope'
        lines += [
            f'  Add-DhcpServerv4Policy -Name "{name}" -ScopeId $scope -Condition AND {match}',
            f'  Set-DhcpServerv4OptionValue {policy} -OptionId 66 -Value "{boot.server}"',
            f'  Set-DhcpServerv4OptionValue {policy} -OptionId 67 -Value "{file}"',
        ]
    return [*lines, "}"]


def dnsmasq(boot: Boot) -> list[str]:
    """Return lines for another dnsmasq's configuration."""
    lines = ["dhcp-match=set:slipway-ipxe,175", "dhcp-userclass=set:slipway-ipxe,iPXE"]
    told = [("tag:slipway-ipxe", boot.url)]
    for firmware, loaders in boot.loaders.items():
        name = f"slipway-{firmware}"
        lines += [f"dhcp-match=set:{name},option:client-arch,{arch}" for arch in FIRMWARE[firmware]]
        lines += [f"dhcp-mac=set:{name}-other,{mac}" for mac in loaders.other_macs]
        tags = f"tag:!slipway-ipxe,tag:{name}"
        told.append((f"{tags},tag:!{name}-other", loaders.most))
        told.append((f"{tags},tag:{name}-other", loaders.other))
    # The server's name stays empty: some firmware would try to resolve it.
    return lines + [f"dhcp-boot={tags},{file},,{boot.server}" for tags, file in told]


SERVERS: dict[str, tuple[str, Callable[[Boot], list[str]]]] = {
    "isc": ("ISC dhcpd, in dhcpd.conf", isc),
    "kea": ("Kea, in the Dhcp4 object of kea-dhcp4.conf", kea),
    "windows": ("Windows DHCP, in an administrator's PowerShell", windows),
    "dnsmasq": ("dnsmasq, in its configuration", dnsmasq),
}


def lines(
    networks: Mapping[str, object],
    server: str,
    url: str,
    kinds: Sequence[str],
    loaders: Mapping[str, Loaders] = USUAL,
) -> list[str]:
    """Return the texts for some servers, or for all of them, each under its heading."""
    if unknown := [kind for kind in kinds if kind not in SERVERS]:
        raise SlipwayError(
            f"There are no lines for {clean(', '.join(unknown), 60)}.",
            f"Say one of {', '.join(SERVERS)}, or nothing for all of them.",
            "bad_server",
        )
    try:
        address = str(ipaddress.IPv4Address(server))
    except ValueError as failure:
        raise SlipwayError(
            f"{clean(server, 60)} is no IPv4 address, and DHCP names a TFTP server by one.",
            "Set pxe_server_address.",
            "bad_address",
        ) from failure
    boot = Boot(address, url, tuple(_addresses(networks)), loaders)
    shown = []
    for kind in kinds or SERVERS:
        title, text = SERVERS[kind]
        shown += [f"# --- {title}", *text(boot), ""]
    return shown[:-1]


def _addresses(networks: Mapping[str, object]) -> list[str]:
    own = cast("Mapping[str, object]", networks["own"])
    subnets = cast("Sequence[Mapping[str, object]]", networks["subnets"])
    return [str(network["address"]) for network in (own, *subnets)]
