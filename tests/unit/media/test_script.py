# SPDX-License-Identifier: GPL-3.0-or-later
"""The script on a medium: what iPXE is told, and what is refused before it is."""

import pytest
from slipway_media import script
from slipway_media.errors import MediaError

ADDRESS = "192.168.1.77/24"


def test_dhcp_is_asked_on_one_card_after_the_other() -> None:
    lines = script.render("10.77.0.1").splitlines()
    assert lines[0] == "#!ipxe"
    assert "dhcp net${slwcard} || goto next" in lines
    assert "chain --replace http://10.77.0.1/boot.ipxe ||" in lines
    assert lines.index(":next") < lines.index("inc slwcard") < lines.index("goto card")
    assert not any(line.startswith(("set net", "ifopen", "set slwip")) for line in lines)


def test_every_label_that_is_gone_to_is_there() -> None:
    for fixed in (None, script.parse_fixed(ADDRESS, "192.168.1.1", "")):
        lines = script.render("img.example", fixed).splitlines()
        wanted = {line.rpartition("goto ")[2] for line in lines if "goto " in line}
        assert {f":{name}" for name in wanted} <= set(lines)


def test_a_fixed_address_needs_no_dhcp_and_reaches_the_kernel() -> None:
    fixed = script.parse_fixed(ADDRESS, "192.168.1.1", "192.168.1.2")
    text = script.render("10.77.0.1", fixed)
    assert "dhcp" not in text
    for line in (
        "set net${slwcard}/ip 192.168.1.77",
        "set net${slwcard}/netmask 255.255.255.0",
        "set net${slwcard}/gateway 192.168.1.1",
        "set net${slwcard}/dns 192.168.1.2",
        "ifopen net${slwcard} || goto next",
        "set slwip slipway.ip=192.168.1.77/24,192.168.1.1,192.168.1.2,${net${slwcard}/mac}",
    ):
        assert f"\n{line}\n" in text


def test_router_and_name_server_may_be_missing() -> None:
    text = script.render("10.77.0.1", script.parse_fixed(ADDRESS, "", ""))
    assert "gateway" not in text and "/dns" not in text
    assert "slipway.ip=192.168.1.77/24,,,${net" in text


def test_an_ipv6_server_stands_in_brackets() -> None:
    assert "http://[fd00::1]/boot.ipxe" in script.render("fd00::1")


@pytest.mark.parametrize(
    "server", ["", "a b", "10.77.0.1\nshell", "${net0/mac}", "-x", "x/y", "x#y", "ä", "x" * 300]
)
def test_a_server_that_is_no_name(server: str) -> None:
    with pytest.raises(MediaError, match="pxe_server_address"):
        script.render(server)


@pytest.mark.parametrize(
    ("address", "router", "dns", "says"),
    [
        ("192.168.1.77", "", "", "look like"),
        ("192.168.1.777/24", "", "", "boot_media_address"),
        ("192.168.1.77/24\nshell", "", "", "look like"),
        ("192.168.1.77/31", "", "", "look like"),
        ("fd00::7/24", "", "", "look like"),
        ("192.168.1.0/24", "", "", "first or last"),
        ("192.168.1.255/24", "", "", "first or last"),
        (ADDRESS, "192.168.2.1", "", "is not in"),
        (ADDRESS, "gateway", "", "gateway"),
        (ADDRESS, "", "8.8.8.8,x", "8.8.8.8,x"),
        ("", "192.168.1.1", "", "no address"),
        ("", "", "192.168.1.1", "no address"),
    ],
)
def test_an_address_that_cannot_be(address: str, router: str, dns: str, says: str) -> None:
    with pytest.raises(MediaError, match=says) as failure:
        script.parse_fixed(address, router, dns)
    assert failure.value.remedy


def test_no_address_means_dhcp() -> None:
    assert script.parse_fixed("", "", "") is None
