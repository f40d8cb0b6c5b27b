# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that make media, run so that the same inputs give the same bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from slipway_media.errors import MediaError

# The time of every file on every medium: mtools, syslinux and xorriso go by it.
EPOCH = 1577836800  # 2020-01-01
# Also the serial number of every file system.
SERIAL = "534c5750"
# Where Debian's packages put things, and which package that is.
LKRN = Path("/usr/lib/ipxe/ipxe.lkrn")
EFI = Path("/usr/lib/ipxe/ipxe.efi")
MBR = Path("/usr/lib/syslinux/mbr/mbr.bin")
ISOLINUX = Path("/usr/lib/ISOLINUX/isolinux.bin")
LDLINUX = Path("/usr/lib/syslinux/modules/bios/ldlinux.c32")
PACKAGES = {LKRN: "ipxe", MBR: "syslinux-common", ISOLINUX: "isolinux", LDLINUX: "syslinux-common"}
PROGRAMS = {"mformat": "mtools", "syslinux": "syslinux", "xorriso": "xorriso"}


def check_installed(files: Iterable[Path]) -> None:
    """Refuse to begin when a program or file is missing, and name its package."""
    missing = {package for name, package in PROGRAMS.items() if shutil.which(name) is None}
    missing |= {package for path, package in PACKAGES.items() if not path.exists()}
    if missing:
        raise MediaError(
            f"Debian's {', '.join(sorted(missing))} is not installed on this computer.",
            "`make apt` installs what the project needs.",
        )
    for path in files:
        if not path.is_file():
            raise MediaError(f"There is no {path}.", "Install Debian's ipxe, or name another file.")


def check_for_discs() -> None:
    """The same for restore media, whose boot loaders are GRUB's."""
    needed = {"grub-mkimage": "grub-common", "mformat": "mtools", "xorriso": "xorriso",
              "ssh-keygen": "openssh-client"}  # fmt: skip
    if missing := sorted(needed[name] for name in needed if shutil.which(name) is None):
        raise MediaError(
            f"Debian's {', '.join(missing)} is not installed.",
            f"apt-get install {' '.join(missing)}",
        )


def run(*argv: str) -> str:
    """Run a program that must succeed; return what it said."""
    done = subprocess.run(
        argv,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise _failed(argv, done.returncode, done.stdout)
    return done.stdout


@contextmanager
def reading(*argv: str) -> Iterator[IO[bytes]]:
    """Run a program for as long as its output is wanted; EOFError inside says that it ended."""
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            argv,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
        ) as program,
    ):
        assert program.stdout is not None
        try:
            yield program.stdout
        except EOFError as error:
            code = program.wait()
            said.seek(0)
            raise _failed(argv, code, said.read().decode(errors="replace")) from error
        finally:
            program.kill()


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(EPOCH),
        # Geometry is ours to choose.
        "MTOOLS_SKIP_CHECK": "1",
    }


def _failed(argv: Sequence[str], code: int, said: str) -> MediaError:
    return MediaError(
        f"{argv[0]} ended with {code}: {said.strip()[-500:]}",
        "See whether the folder has room; the command was: " + " ".join(argv),
    )


def stamp(path: Path) -> None:
    """Give a file or folder the one time."""
    os.utime(path, (EPOCH, EPOCH))
