# SPDX-License-Identifier: GPL-3.0-or-later
"""Drivers that Debian's kernel lacks: compiled by DKMS for that kernel, in a root of their own.

Compiler and headers stay in that root; the environment gets the modules, and what the packages
say to modprobe (a vendor's driver often wants the kernel's own one out of the way).
"""

import shutil
from pathlib import Path

from slipway_image.errors import BuildError
from slipway_image.shell import run

# Packages would compile while they are installed, before all headers are there.
NOT_YET = 'mkdir -p "$1/etc/dkms" && touch "$1/etc/dkms/no-autoinstall"'

_SHOWN_ERRORS = 10
_UPDATES = "lib/modules/{}/updates/dkms"


def compile_all(forge: Path, version: str, modules: Path, log: Path) -> list[str]:
    """Compile every driver that is installed in the forge; return the modules' names.

    `forge` holds DKMS, its packages and the headers of the kernel `version`; `modules` is that
    kernel's unpacked folder.
    """
    for source in sorted((forge / "usr/src").glob("*/dkms.conf")):
        _dkms(forge, log, "add", f"/usr/src/{source.parent.name}")
    try:
        _dkms(forge, log, "autoinstall", "-k", version)
    except BuildError as error:
        words = _compilers_words(forge)
        raise BuildError(
            f"a driver cannot be compiled for {version}:\n  {words or error}",
            "another kernel (the drivers of a release are made for its own), or a newer driver",
        ) from None
    made = sorted((forge / _UPDATES.format(version)).glob("*.ko*"))
    if not made:
        raise BuildError(
            f"DKMS compiled no driver for {version}",
            "see whether these are DKMS packages, and failed.log in the folder of the builds",
        )
    target = modules / "updates/dkms"
    target.mkdir(parents=True)
    for module in made:
        shutil.copy2(module, target)
    return [module.name for module in made]


def _dkms(forge: Path, log: Path, *words: str) -> None:
    """Run DKMS in the forge. It needs /proc, which goes away with the process."""
    inside = ["unshare", "--fork", "--pid", "--mount-proc", f"--root={forge}"]
    run([*inside, "dkms", *words], log)


def _compilers_words(forge: Path) -> str:
    """Return the compiler's errors, which DKMS keeps in files of its own."""
    logs = sorted((forge / "var/lib/dkms").glob("*/*/build/make.log"))
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
    return "\n  ".join([line for line in lines if "error:" in line][:_SHOWN_ERRORS])


def copy_configuration(forge: Path, root: Path, packages: tuple[str, ...]) -> None:
    """Copy what the drivers' packages say to modprobe."""
    for package in packages:
        listing = forge / f"var/lib/dpkg/info/{package}.list"
        for line in listing.read_text(encoding="utf-8").splitlines():
            source = forge / line.lstrip("/")
            if source.parent.name == "modprobe.d" and source.is_file():
                target = root / "etc/modprobe.d" / source.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
