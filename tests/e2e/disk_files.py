# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that are the disks of virtual PCs."""

import hashlib
import subprocess
from pathlib import Path


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy(disk: Path, folder: Path) -> Path:
    """Return a sparse copy of a disk."""
    target = folder / disk.name
    subprocess.run(["cp", "--sparse=always", disk, target], check=True)
    return target
