# SPDX-License-Identifier: GPL-3.0-or-later
"""Read-only views by device-mapper. One that is held goes with the process, however that ends."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from slipway.engine.run import run

_SECTOR = 512
_names = (f"slipway-{os.getpid()}-{number}" for number in count())


def have_device_mapper() -> bool:
    """Whether this kernel has it, loaded or as a module."""
    return run(["dmsetup", "version"], ok=None).code == 0


def new_name() -> str:
    """A name that no other view has."""
    return next(_names)


@contextmanager
def joined(device: Path, parts: Sequence[tuple[int, int]]) -> Generator[Path, None, None]:
    """Stretches of a device, each (offset, size) in bytes, one behind the other."""
    lines, position = [], 0
    for offset, size in parts:
        sectors = size // _SECTOR
        lines.append(f"{position} {sectors} linear {device} {offset // _SECTOR}\n")
        position += sectors
    name = new_name()
    run(["dmsetup", "create", "--readonly", name], input="".join(lines).encode())
    with held(name) as view:
        yield view


@contextmanager
def held(name: str) -> Generator[Path, None, None]:
    """The device of a view that exists; it goes when nobody has it open any more."""
    query = ["dmsetup", "info", "-c", "--noheadings", "-o", "minor", name]
    try:
        device = Path(f"/dev/dm-{int(run(query).stdout)}")
        handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except BaseException:
        run(["dmsetup", "remove", name], ok=None)
        raise
    try:
        run(["dmsetup", "remove", "--deferred", name])
        yield device
    finally:
        os.close(handle)
