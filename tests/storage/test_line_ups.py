# SPDX-License-Identifier: GPL-3.0-or-later
"""Line-ups of disks: the whole agent finds the right ones, and never writes to a wrong one.

The disks are loop devices under names of real disks; a fake lsblk says what such disks would say
about themselves. Every disk is hashed before and after.
"""

import json
import os
import random
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ..fixtures.lsblk import block_device
from .conftest import AGENT, Agent
from .disk_builder import FILL, MIB, attached, sh, sha256

LSBLK = """#!/usr/bin/python3
import json, os, sys
listed = json.load(open({spec!r}))
named = [word for word in sys.argv[1:] if word.startswith("/")]
listed = [each for each in listed if not named or each["path"] in named]
print(json.dumps({{"blockdevices": listed}}))
"""


@dataclass(frozen=True)
class D:
    """A disk of a line-up: its name, what it says, MiB, bytes per sector, other words of lsblk."""

    name: str
    says: tuple[str, str, str]
    size: int = 8
    sector: int = 512
    facts: dict[str, Any] = field(default_factory=dict)


A = ("S-A", "0x5000a", "Samsung 870")
B = ("S-B", "0x5000b", "Samsung 870")
C = ("S-C", "0x5000c", "WD Blue")
NOBODY = ("", "", "")
USB, OUT, LOCKED = {"tran": "usb"}, {"rm": True}, {"ro": True}

IMAGES = {
    "one": [D("sda", A)],
    "two": [D("sda", A), D("sdb", B)],
    "wwn": [D("sda", ("", "0x5000a", ""))],
    "nobody": [D("vda", NOBODY)],
    "4k": [D("nvme0n1", A, sector=4096)],
}

# name: image, disks of the machine, arguments, which disk goes where; None: refused
LINE_UPS: dict[str, tuple[str, list[D], list[str], dict[str, str] | None]] = {
    "as it was": ("one", [D("sda", A)], [], {"disk0": "sda"}),
    "another name": ("one", [D("sdb", A)], [], {"disk0": "sdb"}),
    "another bus": ("one", [D("nvme0n1", A), D("sda", C)], [], {"disk0": "nvme0n1"}),
    "swapped order": ("two", [D("sda", B), D("sdb", A)], [], {"disk0": "sdb", "disk1": "sda"}),
    "stranger in front": (
        "two",
        [D("sda", C), D("sdb", B), D("sdc", A)],
        [],
        {"disk0": "sdc", "disk1": "sdb"},
    ),
    "twin of equal size in front": ("one", [D("sda", B), D("sdb", A)], [], {"disk0": "sdb"}),
    "twin alone": ("one", [D("sda", B)], [], None),
    "no disk": ("one", [], [], None),
    "serial number twice": ("one", [D("sda", A), D("sdb", A)], [], None),
    "serial of another model": ("one", [D("sda", ("S-A", "", "WD Blue"))], [], None),
    "serial with another WWN": ("one", [D("sda", ("S-A", "0x5000f", ""))], [], None),
    "WWN with another serial": ("one", [D("sda", ("S-X", "0x5000a", "Samsung 870"))], [], None),
    "serial missing, WWN equal": ("one", [D("sda", ("", "0x5000a", "Samsung 870"))], [], None),
    "all missing": ("one", [D("sda", NOBODY)], [], None),
    "all missing, named": ("one", [D("sda", NOBODY)], ["sda"], None),
    "serial in lower case": ("one", [D("sda", ("s-a", "", ""))], [], None),
    "WWN and model missing": (
        "one",
        [D("sda", ("S-A", "", "")), D("sdb", B)],
        [],
        {"disk0": "sda"},
    ),
    "model missing": ("one", [D("sda", C), D("sdb", ("S-A", "0x5000a", ""))], [], {"disk0": "sdb"}),
    "WWN alone": ("wwn", [D("sda", B), D("sdb", A)], [], {"disk0": "sdb"}),
    "WWN twice": ("wwn", [D("sda", A), D("sdb", A)], [], None),
    "WWN of another": ("wwn", [D("sda", B)], [], None),
    "no serial in the image": ("nobody", [D("vda", NOBODY)], [], None),
    "no serial, named": ("nobody", [D("vda", NOBODY), D("vdb", NOBODY)], ["vdb"], {"disk0": "vdb"}),
    "no serial, two named": ("nobody", [D("vda", NOBODY), D("vdb", NOBODY)], ["vda", "vdb"], None),
    "no serial, sizes tell": (
        "nobody",
        [D("vda", NOBODY, 12), D("vdb", NOBODY)],
        ["vda", "vdb"],
        {"disk0": "vdb"},
    ),
    "no serial, other size": ("nobody", [D("vda", NOBODY, 12)], ["vda"], None),
    "no serial, other model": ("nobody", [D("vda", ("", "", "QEMU"))], ["vda"], None),
    "smaller, all fits": ("one", [D("sda", A, 5), D("sdb", B)], [], {"disk0": "sda"}),
    "smaller, too small": ("one", [D("sda", A, 3), D("sdb", B)], [], None),
    "larger": ("one", [D("sda", B), D("sdb", A, 20)], [], {"disk0": "sdb"}),
    "4Kn for 512": ("one", [D("sda", A, sector=4096)], [], None),
    "4Kn for 4Kn": (
        "4k",
        [D("sda", B, sector=4096), D("sdb", A, sector=4096)],
        [],
        {"disk0": "sdb"},
    ),
    "512 for 4Kn": ("4k", [D("nvme0n1", A)], [], None),
    "USB stick with the serial": ("one", [D("sda", A, facts=USB)], [], None),
    "USB copy beside the disk": (
        "one",
        [D("sda", A, facts=USB), D("sdb", A)],
        [],
        {"disk0": "sdb"},
    ),
    "removable": ("one", [D("sda", A, facts=OUT), D("sdb", B)], [], None),
    "write-protected": ("one", [D("sda", A, facts=LOCKED)], [], None),
    "one of two missing": ("two", [D("sda", A), D("sdb", C)], [], None),
    "wrong one named": ("one", [D("sda", A), D("sdb", B)], ["sdb"], None),
    "replacement by hand": ("one", [D("sda", B), D("sdb", C)], ["disk0=sdb"], {"disk0": "sdb"}),
    "replacement too small": ("one", [D("sda", C, 3)], ["disk0=sda"], None),
    "replacement write-protected": ("one", [D("sda", C, facts=LOCKED)], ["disk0=sda"], None),
    "both to one by hand": ("two", [D("sda", A), D("sdb", B)], ["disk0=sdb"], None),
    "swapped by hand": (
        "two",
        [D("sda", A), D("sdb", B)],
        ["disk0=sdb", "disk1=sda"],
        {"disk0": "sdb", "disk1": "sda"},
    ),
    "one partition, other disk missing": (
        "two",
        [D("sda", C), D("sdc", B)],
        ["disk1:1"],
        {"disk1": "sdc"},
    ),
}


class Machine:
    """Loop devices that look like disks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = folder / "lsblk.json"
        program = folder / "lsblk"
        program.write_text(LSBLK.format(spec=str(self.spec)))
        program.chmod(0o755)
        self.files: dict[str, Path] = {}
        self.loops: list[str] = []

    def build(self, disks: list[D], first: int) -> None:
        """Attach the disks; contents are numbered from `first` on, so that none is like another."""
        listed = []
        for number, disk in enumerate(disks, first):
            path = self.folder / f"{disk.name}.img"
            make_disk(path, disk, number)
            options = ["--read-only"] if disk.facts.get("ro") else []
            loop = sh("losetup", "-f", "--show", "-b", disk.sector, *options, path).strip()
            self.loops.append(loop)
            self.files[disk.name] = path
            node = self.node(disk.name)
            node.unlink(missing_ok=True)
            os.mknod(node, stat.S_IFBLK | 0o600, Path(loop).stat().st_rdev)
            serial, wwn, model = disk.says
            told = {"path": str(node), "serial": serial, "wwn": wwn, "model": model}
            sectors = {"log-sec": disk.sector, "phy-sec": disk.sector, "tran": "sata"}
            facts = told | sectors | disk.facts
            listed.append(block_device(disk.name, disk.size * MIB, **facts))
        self.spec.write_text(json.dumps(listed))

    def node(self, name: str) -> Path:
        return self.folder / name

    def end(self) -> None:
        for loop in self.loops:
            sh("losetup", "-d", loop)
        self.loops = []


def make_disk(path: Path, disk: D, number: int) -> None:
    """One partition from 1 to 4 MiB where there is room for it; each disk has its own content."""
    path.write_bytes(bytes([FILL + number]) * (disk.size * MIB))
    if disk.size < 5:
        return
    with attached(path, disk.sector) as device:
        script = f"label: dos\nlabel-id: 0x{number + 1:08x}\nstart=1MiB, size=3MiB\n"
        sh("sfdisk", "-q", "--wipe=never", "--no-reread", "--no-tell-kernel", device, input=script)
    with path.open("r+b") as file:
        file.seek(MIB)
        file.write(random.Random(number).randbytes(3 * MIB))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Agent, list[Path]]]:
    """The store of an image, and what its disks held."""
    made: dict[str, tuple[Agent, list[Path]]] = {}

    def get(image: str) -> tuple[Agent, list[Path]]:
        if image not in made:
            machine = Machine(tmp_path_factory.mktemp(image))
            agent = Agent(machine.folder / "store")
            try:
                machine.build(IMAGES[image], first=0)
                before = {name: sha256(path) for name, path in machine.files.items()}
                env = {"PATH": f"{machine.folder}:{os.environ['PATH']}"}
                named = [machine.node(each.name) for each in IMAGES[image]]
                run = subprocess.run(
                    agent.command("backup", *named, "--name", "pc"),
                    text=True,
                    env=os.environ | env | {"PYTHONPATH": str(AGENT)},
                    capture_output=True,
                )
                assert run.returncode == 0, run.stdout + run.stderr
                assert before == {name: sha256(path) for name, path in machine.files.items()}
            finally:
                machine.end()
            made[image] = (agent, list(machine.files.values()))
        return made[image]

    return get


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    yield made
    made.end()


def written_out(machine: Machine, words: list[str]) -> list[str]:
    """A line-up's arguments as the command line has them."""
    result = []
    for word in words:
        disk, equals, name = word.partition("=")
        if equals:
            result += ["--target", f"{disk}={machine.node(name)}"]
        else:
            result += ["--partition", word] if ":" in word else [str(machine.node(word))]
    return result


@pytest.mark.parametrize("case", LINE_UPS)
def test_line_up(
    case: str, machine: Machine, stores: Callable[[str], tuple[Agent, list[Path]]]
) -> None:
    image, disks, words, expected = LINE_UPS[case]
    agent, sources = stores(image)
    machine.build(disks, first=10)
    before = {name: sha256(path) for name, path in machine.files.items()}
    outcome = agent("restore", "pc", *written_out(machine, words))
    after = {name: sha256(path) for name, path in machine.files.items()}
    if expected is None:
        assert outcome.failed("target_refused")
        assert after == before
        return
    result = outcome.ok()
    assert {each["disk"]: each["device"] for each in result["disks"]} == {
        disk: str(machine.node(name)) for disk, name in expected.items()
    }
    for name in before:
        assert (after[name] == before[name]) is (name not in expected.values()), name
    for disk, name in expected.items():
        with machine.files[name].open("rb") as one, sources[int(disk[-1])].open("rb") as other:
            one.seek(MIB)
            other.seek(MIB)
            assert one.read(3 * MIB) == other.read(3 * MIB)


def test_there_are_thirty() -> None:
    assert len(LINE_UPS) >= 30
