# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment's fixed address: from the boot medium's word to a file of systemd-networkd."""

import configparser
import subprocess
from pathlib import Path

import pytest
from slipway_media import script

OVERLAY = Path(__file__).resolve().parents[3] / "client_image/image/overlay"
MAC = "52:54:00:77:00:03"


def tell(root: Path, words: str) -> Path:
    """Run the environment's script on a kernel command line; return the file it may have made."""
    for folder in ("proc", "etc"):
        (root / folder).mkdir()
    (root / "proc/cmdline").write_text(f"quiet {words} slipway.session=0123456789abcdef\n")
    program = OVERLAY / "usr/lib/slipway/fixed-address"
    subprocess.run([program, str(root)], check=True)
    return root / "run/systemd/network/10-fixed.network"


def medium_says(address: str, router: str, dns: str) -> str:
    """What the script on a medium makes iPXE put on the command line."""
    text = script.render("10.77.0.1", script.parse_fixed(address, router, dns))
    line = next(line for line in text.splitlines() if line.startswith("set slwip "))
    return line.removeprefix("set slwip ").replace("${net${slwcard}/mac}", MAC)


def test_what_the_medium_says_is_understood(tmp_path: Path) -> None:
    file = tell(tmp_path, medium_says("10.77.0.30/24", "10.77.0.254", "10.77.0.53"))
    parsed = configparser.ConfigParser()
    parsed.read(file)
    assert parsed["Match"]["MACAddress"] == MAC
    assert parsed["Network"]["Address"] == "10.77.0.30/24"
    assert parsed["Network"]["Gateway"] == "10.77.0.254"
    assert (tmp_path / "etc/resolv.conf").read_text() == "nameserver 10.77.0.53\n"
    # systemd-networkd takes the first file that matches a card.
    others = [path.name for path in (OVERLAY / "etc/systemd/network").glob("*.network")]
    assert all(file.name < name for name in others)


def test_without_router_and_name_server(tmp_path: Path) -> None:
    assert "Gateway" not in tell(tmp_path, medium_says("10.77.0.30/24", "", "")).read_text()
    assert not (tmp_path / "etc/resolv.conf").exists()


@pytest.mark.parametrize(
    "words",
    [
        "",
        "slipway.ip=",
        "slipway.ip=10.77.0.30/24,,,",
        f"slipway.ip=,,,{MAC}",
        f"slipway.ip=10.77.0.30/24,$(reboot),,{MAC}",
        f"slipway.ip=10.77.0.30/24,,,{MAC},more",
        "slipway.ip=10.77.0.30/24,,,${net0/mac}",
    ],
)
def test_anything_else_asks_dhcp(tmp_path: Path, words: str) -> None:
    assert not tell(tmp_path, words).exists()
