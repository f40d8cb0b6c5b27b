# SPDX-License-Identifier: GPL-3.0-or-later
"""One PC's way: woken, backed up, overwritten, restored without another boot, compared."""

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml
from slipway_lab import disk
from slipway_lab.api import Lab, Pc
from slipway_lab.playbook_runs import ROOT, PlaybookRun, run_playbook

from ..e2e import independent
from ..e2e.disk_files import copy
from .results import Row

INVENTORY = ROOT / "inventory/matrix"
PCS: dict[str, dict[str, Any]] = yaml.safe_load((INVENTORY / "hosts.yml").read_text())["machines"][
    "hosts"
]
STATE = ROOT / ".lab-matrix"
# They drive every disk of their kind, so they say nothing about the controller.
COMMON = {"sd", "usb"}

# Every driver on the way from the device up to its bus, for the card with a MAC and for the disk.
LOOK = """
up() {
  at=$(readlink -f "$1")
  while [ "$at" != / ]; do
    if [ -L "$at/driver" ]; then basename "$(readlink "$at/driver")"; fi
    at=$(dirname "$at")
  done
}
for card in /sys/class/net/*; do
  if [ "$(cat "$card/address")" = "$1" ]; then up "$card/device"; fi
done
echo --
for disk in /sys/block/sd* /sys/block/vd* /sys/block/nvme*; do
  if [ -e "$disk" ]; then up "$disk/device"; fi
done
"""


def play(name: str, **arguments: Any) -> PlaybookRun:
    """Run a playbook against the matrix' lab; it must succeed."""
    run = run_playbook(name, inventories=[INVENTORY], quiet=True, **arguments)
    assert run.returncode == 0, run.output
    return run


def trip(lab: Lab, pc: Pc, folder: Path) -> Row:
    """Make the trip and return what was measured; `folder` takes a copy of the disk."""
    original = copy(pc.disk_path, folder)
    used = independent.used_ranges(original)
    console, power = pc.console_offset(), lab.power_log_offset()

    backup = play("backup", limit=pc.name, variables={"imaging_session_after": "stay"})
    card_drivers, disk_drivers = drivers(lab, pc)
    # QEMU and this test share the host's page cache. The PC's own was dropped when the agent,
    # the last to have the disk open, closed it.
    disk.overwrite(pc.disk_path)
    assert independent.differing(original, pc.disk_path, used) == used

    variables = {"image": pc.name, "imaging_session_after": "poweroff"}
    restore = play("restore", limit=pc.name, variables=variables)
    pc.wait_until_off()
    assert restore.results[pc.name]["disk_restore"]["changed"]
    assert independent.differing(original, pc.disk_path, used) == []
    assert independent.check_file_systems(pc.disk_path) == []

    boots = [each for each in lab.power_events(power) if each.pc == pc.name and each.mac]
    assert [each.action for each in boots].count("turned on") == 1
    return Row(
        card=pc.machine.card,
        card_drivers=card_drivers,
        boots_from=boots_from(pc.console(console)),
        bus=pc.machine.bus,
        disk_drivers=disk_drivers,
        backup_seconds=round(backup.seconds),
        restore_seconds=round(restore.seconds),
    )


def boots_from(console: str) -> str:
    """Return what SeaBIOS said at last that it boots from."""
    return re.findall(r"Booting from ([\w/]+)", console)[-1]


def drivers(lab: Lab, pc: Pc) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the drivers of card and disk, as the environment that runs on the PC has them."""
    card, _, disks = on(lab, pc, LOOK, pc.macs[0]).partition("--\n")
    found = [tuple(each for each in text.split() if each not in COMMON) for text in (card, disks)]
    return found[0], found[1]


def on(lab: Lab, pc: Pc, script: str, *arguments: str) -> str:
    """Run a shell script in the imaging environment of a PC and return its output."""
    words = ["nsenter", f"--net=/run/netns/{lab.config.namespace}", "--", "ssh", "-T"]
    words += ["-i", str(lab.config.paths.ssh / "id_ed25519"), "-o", "LogLevel=ERROR"]
    words += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    words += [f"root@{PCS[pc.name]['machine_ip']}", "sh", "-se", *arguments]
    return subprocess.run(words, input=script, capture_output=True, text=True, check=True).stdout
