# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual PC that runs tests inside the imaging environment.

The kernel of a build machine often lacks device-mapper, reiserfs or jfs; the environment's kernel
has them, and it is where the agent works. One boot runs all tests of the folders it is given.
"""

import json
import os
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from slipway_image import cpio
from slipway_lab.qemu import TCG_CPU, choose_accelerator

ROOT = Path(__file__).resolve().parents[2]
IMAGE = ROOT / "client_image/image"
RAM_MIB = 3072
# A bound, for a guest that hangs: emulated, and beside other virtual PCs, it may need half an hour.
SECONDS = 2700
_KERNEL = "console=ttyS0 quiet panic=-1 mitigations=off rdinit=/guest-init"
# What pytest needs, and what the environment has thrown out.
_PACKAGES = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py.py")
_LIBRARY = ("unittest", "pydoc.py")


def run_tests(
    folder: Path,
    tests: Sequence[str],
    words: Sequence[str] = (),
    devices: Sequence[str] = (),
    more: Mapping[str, bytes] | None = None,
) -> dict[str, dict[str, Any]]:
    """Boot, run all tests of these folders in their order, return the report of each by name.

    `words` are of the kernel's command line, `devices` of QEMU's, `more` files of the guest.
    """
    build = subprocess.run([IMAGE / "build"], stdout=subprocess.PIPE, text=True, check=True)
    environment = Path(build.stdout.splitlines()[-1])
    initrd, reports = folder / "initrd", folder / "reports"
    files = overlay(folder / "overlay", {**_files(tests), **(more or {})})
    initrd.write_bytes((environment / "initrd.img").read_bytes() + files)
    command = [
        *accelerated(),
        "-m",
        str(RAM_MIB),
        "-device",
        "virtio-rng-pci",
        "-kernel",
        str(environment / "vmlinuz"),
        "-initrd",
        str(initrd),
        "-append",
        " ".join([_KERNEL, f"guest.tests={','.join(tests)}", *words]),
        *devices,
    ]
    said = run_pc(command, folder / "console", SECONDS, "-serial", f"file:{reports}")
    print("\n".join(said.splitlines()[-60:]))
    found = [json.loads(line) for line in reports.read_text().splitlines()]
    return {report["name"]: report for report in found}


def accelerated(processors: int = 2, waits: bool = False) -> list[str]:
    """QEMU with what makes it fast on this machine; ``waits``: it mostly looks at its clock."""
    how = ["kvm", "-cpu", "host"]
    if choose_accelerator(SimpleNamespace(accel="auto")) == "tcg":
        how = ["tcg,thread=multi", "-cpu", TCG_CPU]
        if waits:
            # An instruction takes 256 ns by its clock: it waits as long with fewer of them.
            how = ["tcg,thread=single", "-cpu", TCG_CPU, "-icount", "shift=8,sleep=on"]
    return ["qemu-system-x86_64", "-accel", *how, "-smp", str(processors)]


def run_pc(command: list[str], console: Path, seconds: int, *more: str) -> str:
    """Run a PC until it is off, and return what it said on its first serial line."""
    words = ["-no-reboot", "-nodefaults", "-display", "none", "-serial", f"file:{console}", *more]
    try:
        subprocess.run([*command, *words], timeout=seconds, check=True, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        print(f"the guest did not end within {seconds} s")
    return console.read_text(errors="replace")


def overlay(work: Path, files: Mapping[str, bytes]) -> bytes:
    """Files as a further initrd; those without a suffix are programs."""
    members = [
        cpio.regular(name, content, 0o644 if Path(name).suffix else 0o755)
        for name, content in files.items()
    ]
    with work.open("wb") as file:
        cpio.write(cpio.with_parents(members), file)
    return work.read_bytes()


def _files(tests: Sequence[str]) -> dict[str, bytes]:
    """The tests, the agent and pytest."""
    files = {"guest-init": (ROOT / "tests/storage/guest/init").read_bytes()}
    for source, place in _sources(tests):
        for path in [source] if source.is_file() else sorted(source.rglob("*.py")):
            files[f"{place}/{path.relative_to(source.parent)}"] = path.read_bytes()
    return files


def _sources(tests: Sequence[str]) -> list[tuple[Path, str]]:
    site = Path(sysconfig.get_path("purelib"))
    library = Path(os.__file__).parent
    return [
        *((site / name, "project/site") for name in _PACKAGES),
        *((library / name, "project/site") for name in _LIBRARY),
        (ROOT / "client_image/agent/slipway", "project/client_image/agent"),
        *((path, "project/tests/storage") for path in sorted(ROOT.glob("tests/storage/*.py"))),
        (ROOT / "tests/storage/guest/main.py", "project/tests/storage/guest"),
        *((ROOT / "tests/storage" / each, "project/tests/storage") for each in tests),
    ]
