# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests that cost far more to read than to send."""

from __future__ import annotations

import hashlib
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from slipway.format.codec import serialize
from slipway.format.extents import Extents
from slipway.format.manifest import Disk, Identity, Manifest, Segment, Table


def envelope(body: bytes) -> bytes:
    """A manifest's envelope around whatever it is, its digest right."""
    digest = hashlib.sha256(body).hexdigest().encode("ascii")
    return b'{"slipway":1,"sha256":"%s","manifest":%s}\n' % (digest, body)


# By name: bodies of about so many bytes, none of them a manifest.
BOMBS: dict[str, Callable[[int], bytes]] = {
    "lists": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
    "objects": lambda size: b'{"a":' * (size // 6) + b"1" + b"}" * (size // 6),
    "open": lambda size: b"[" * size,
    "wide": lambda size: b"[" + b"[]," * (size // 3) + b"[]]",
    "pairs": lambda size: b"[" + b'{"a":{}},' * (size // 9) + b"0]",
    "texts": lambda size: b'["' + b'","' * (size // 3) + b'"]',
    "numbers": lambda size: b"[" + b"1.5," * (size // 4) + b"1]",
    "keys": lambda size: b"{" + b",".join(b'"%x":1' % n for n in range(size // 12)) + b"}",
    "maps": lambda size: b"{" + b'"used":"1+1",' * (size // 13) + b'"a":1}',
    "cells": lambda size: b"[" + b'{"cells":""},' * (size // 13) + b"0]",
    "in a disk": lambda size: b'{"disks":[{"segments":[' + b"[]," * (size // 3) + b"[]]}]}",
    "escapes": lambda size: b'["' + b'\\"' * (size // 2) + b'"]',
    "wide characters": lambda size: '["😀'.encode() + b"a" * size + b'"]',
    "one number": lambda size: b"1" * size,
    "escaped quotes hide lists": lambda size: b'["\\\\",' + b"[]," * (size // 3) + b'"\\""]',
}


def fragmented(name: str, ranges: int) -> bytes:
    """A right manifest of a disk whose used map has so many ranges: slow to read, and allowed."""
    starts = array("q", range(512, 512 + ranges * 1024, 1024))
    ends = array("q", range(1024, 1024 + ranges * 1024, 1024))
    used = Extents(starts, ends)
    segments = (
        Segment("boot", 0, 512, Extents.whole(512), bytes(32), content="table"),
        Segment(
            "partition",
            1 << 20,
            ranges * 1024 + 1024,
            used,
            bytes(32) * used.count_cells(1 << 20),
            partition=1,
        ),
    )
    disk = Disk("disk0", Identity(), 1 << 40, 512, 512, Table("none"), segments)
    return serialize(Manifest(name=name, cell_size=1 << 20, disks=(disk,)))


def memory_peak(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def children(pid: int) -> list[int]:
    """Processes that a process has started and that have not ended."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(entry.parent.name))
    return found


def await_reader(pid: int) -> int:
    """The process that reads a manifest for the service, as soon as there is one."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if found := children(pid):
            return found[0]
        time.sleep(0.01)
    raise AssertionError("nothing reads the manifest")
