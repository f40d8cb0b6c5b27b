# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be built: the options, and the key that names a build by all of its inputs."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
# What the result depends on, below HOME.
_INPUTS = (
    "packages.list",
    "modules.list",
    "remove.list",
    "masked-units.list",
    "overlay",
    "hooks",
    "slipway_image",
)
# The site overlay is another file: packing it otherwise needs no new build.
_NO_INPUTS = ("site.py",)


@dataclass(frozen=True)
class Options:
    """What may differ between two builds of the same project."""

    release: str = "bookworm"
    # No mirror: from where this host gets its own packages.
    mirror: str = ""
    components: str = "main"
    kernel: str = "linux-image-amd64"
    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    # DKMS packages, compiled for the kernel.
    drivers: tuple[str, ...] = ()
    # 9 packs in less than half the time of 12, and the result is a hundredth larger.
    level: int = 9
    # Changing it builds anew, with the packages of today.
    revision: str = ""


def key(options: Options, home: Path = HOME) -> str:
    """Return the name of the build: equal inputs, equal name."""
    digest = hashlib.sha256(json.dumps(asdict(options), sort_keys=True).encode())
    for path in _files(home):
        status = path.lstat()
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        name = f"{path.relative_to(home)} {status.st_mode & 0o111:o}"
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def _files(home: Path) -> list[Path]:
    found: list[Path] = []
    for name in _INPUTS:
        start = home / name
        found += [start] if start.is_file() else start.rglob("*")
    files = [path for path in found if path.is_symlink() or path.is_file()]
    return sorted(path for path in files if not _is_foreign(path))


def _is_foreign(path: Path) -> bool:
    return "__pycache__" in path.parts or path.name in _NO_INPUTS
