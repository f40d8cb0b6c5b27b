# SPDX-License-Identifier: GPL-3.0-or-later
"""A small lab description that needs neither root nor Ansible."""

import copy
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway_lab import config

DESCRIPTION: dict[str, Any] = {
    "namespace": "lab-under-test",
    "bridge": "br-test",
    "address": "10.99.0.1/24",
    "suite": "bookworm",
    "mirrors": [],
    "accel": "tcg",
    "server": {"name": "img", "packages": ["nginx", "dnsmasq"]},
    "machines": [
        {
            "name": "old",
            "macs": ["52:54:00:99:00:01"],
            "firmware": "bios",
            "ram_mib": 512,
            "cpus": 1,
            "nic": "virtio-net-pci",
            "bus": "virtio-scsi",
            "disk": {
                "size_mib": 40,
                "table": "mbr",
                "serial": "OLD-1",
                "partitions": [
                    {"fs": "ext4", "size_mib": 8, "mount": "/", "label": "root"},
                    {"fs": "ext3", "size_mib": 20, "mount": "/home", "logical": True},
                    {"fs": "swap", "size_mib": 0, "logical": True},
                ],
            },
        },
        {
            "name": "new",
            "macs": ["52:54:00:99:00:02"],
            "firmware": "uefi",
            "ram_mib": 512,
            "cpus": 1,
            "nic": "virtio-net-pci",
            "bus": "virtio-scsi",
            "disk": {
                "size_mib": 60,
                "table": "gpt",
                "serial": "NEW-1",
                "partitions": [
                    {"fs": "vfat", "size_mib": 40, "mount": "/boot/efi", "label": "ESP"},
                    {"fs": "ext4", "size_mib": 8, "mount": "/", "label": "root"},
                    {"fs": "swap", "size_mib": 0, "label": "swap"},
                ],
            },
        },
    ],
}


@pytest.fixture
def description() -> dict[str, Any]:
    """A description that a test may spoil."""
    return copy.deepcopy(DESCRIPTION)


@pytest.fixture
def make_lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, description: dict[str, Any]
) -> Callable[[], config.Config]:
    """Write the description into a state folder of its own and read it back."""
    monkeypatch.setattr(config, "run_dir", lambda namespace: tmp_path / "run" / namespace)

    def make() -> config.Config:
        state = tmp_path / "checkout" / ".lab"
        state.mkdir(parents=True, exist_ok=True)
        (state / "lab.json").write_text(json.dumps(description))
        lab = config.load(state)
        lab.paths.run.mkdir(parents=True, exist_ok=True)
        return lab

    return make


@pytest.fixture
def lab(make_lab: Callable[[], config.Config]) -> config.Config:
    """The lab as described."""
    return make_lab()


def settled(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Wait until /proc shows a new process as what it is: that comes a moment after exec."""
    files = [Path(f"/proc/{process.pid}/{name}") for name in ("cmdline", "environ")]
    deadline = time.monotonic() + 10
    while not all(file.read_bytes() for file in files) and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


@pytest.fixture(name="settled")
def settled_fixture() -> Callable[[subprocess.Popen[bytes]], subprocess.Popen[bytes]]:
    """Hand `settled` to tests, which cannot import from here."""
    return settled
