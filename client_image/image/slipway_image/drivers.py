"""Drivers that Debian's kernel lacks: compiled by DKMS for that kernel, in a root of their own.

Compiler and headers stay in that root; the environment gets the modules, and what the packages
say to modprobe (a vendor's driver often wants the kernel's own one out of the way).
"""

import shutil
from pathlib import Path

from slipway_image.errors import BuildError
from slipway_image.shell import run

_UPDATES = "lib/modules/{}/updates/dkms"


def compile_all(forge: Path, version: str, modules: Path, log: Path) -> list[str]:
    """Compile every driver that is installed in the forge; return the modules' names.

    `forge` holds DKMS, its packages and the headers of the kernel `version`; `modules` is that
    kernel's unpacked folder.
    """
    run(["chroot", forge, "dkms", "autoinstall", "-k", version], log)
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
