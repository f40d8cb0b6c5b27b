# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore media of small images, made by the builder itself; discs as folders."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..fixtures import warm_python
from .conftest import AGENT
from .disk_builder import MIB, sh

ROOT = AGENT.parents[1]
BUILDER = {
    "PYTHONPATH": os.pathsep.join(
        str(ROOT / "client_image" / each) for each in ("agent", "build", "image")
    ),
    "PYTHONDONTWRITEBYTECODE": "1",
}


def make_disk(path: Path, megabytes: int, seed: int = 1, text: bytes = b"") -> Path:
    """A disk with one ext4 that holds so much of nothing that could be packed."""
    tree = path.with_name(f"{path.name}.tree")
    tree.mkdir()
    (tree / "random").write_bytes(random.Random(seed).randbytes(megabytes * MIB))
    size = megabytes + 24
    with path.open("wb") as file:
        file.truncate((size + 2) * MIB)
    table = f"label: dos\nlabel-id: 0x5117{seed:04x}\nstart=2048,size={size * 2048},bootable\n"
    sh("sfdisk", "--quiet", path, input=table)
    sh("mkfs.ext4", "-q", "-F", "-E", f"offset={MIB}", "-d", tree, path, f"{size}M")
    if text:
        with path.open("r+b") as file:
            file.write(text)
    return path


def environment(folder: Path) -> Path:
    """Something in the place of kernel and initramfs, for discs that nobody boots."""
    folder.mkdir()
    for name in ("vmlinuz", "initrd.img"):
        (folder / name).write_bytes(random.Random(name).randbytes(MIB))
    return folder


def command(store: Path, env: Path, folder: Path, *words: object) -> list[str]:
    """A process of its own, as a test wants it that kills it or puts another program in its way."""
    program = [sys.executable, "-m", "slipway_media.restore"]
    return [*program, *_words(store, env, folder, *words)]


def _words(store: Path, env: Path, folder: Path, *words: object) -> list[str]:
    places = ["--store", store, "--environment", env, "--folder", folder, "--reserve", 0]
    return [str(each) for each in (*places, *words)]


def build(store: Path, env: Path, folder: Path, *words: object) -> dict[str, Any]:
    """Make a set; what the builder says of it."""
    done = run(store, env, folder, *words)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def run(store: Path, env: Path, folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    python = warm_python.for_scripts(BUILDER["PYTHONPATH"], "slipway_media.restore")
    program = [python, str(ROOT / "client_image/build/slipway_media/restore.py")]
    return subprocess.run(
        [*program, *_words(store, env, folder, *words)],
        env=os.environ | BUILDER,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def files(made: dict[str, Any], folder: Path) -> list[Path]:
    """The ISO files of a set."""
    return [folder / made["name"] / disc["file"] for disc in made["discs"]]


def unpacked(iso: Path, folder: Path) -> Path:
    """What a disc holds, as if it were mounted there."""
    folder.mkdir()
    sh("xorriso", "-osirrox", "on", "-indev", f"stdio:{iso}", "-extract", "/", folder)
    sh("chmod", "-R", "u+w", folder)
    return folder


def a_chunk(disc: Path, only: bool = True) -> Path:
    """A chunk of a disc; one that no other disc has."""
    others = {
        path.name
        for other in disc.parent.iterdir()
        if other != disc and (other / "chunks").is_dir()
        for path in (other / "chunks").rglob("?" * 64)
    }
    found = sorted((disc / "chunks").rglob("?" * 64), key=lambda path: -path.stat().st_size)
    return next(path for path in found if not only or path.name not in others)


def flip(path: Path, at: int = -100) -> None:
    """Change one byte of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)
