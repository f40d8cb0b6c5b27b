# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests: what is written is read again, everything else is refused in words."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipway.format import (
    Disk,
    Extents,
    FormatError,
    Identity,
    Machine,
    Manifest,
    Segment,
    Table,
    TablePartition,
    parse,
    serialize,
)

MIB = 1 << 20
WORDS = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), max_size=20)


@st.composite
def segments(draw: st.DrawFn, number: int, offset: int) -> Segment:
    size = draw(st.integers(1, 40)) * 4096
    pairs = st.tuples(st.integers(0, size // 512), st.integers(0, size // 512))
    ranges = draw(st.lists(pairs, max_size=5))
    used = Extents.of((a * 512, b * 512) for a, b in ranges)
    count = used.count_cells(MIB)
    digests = draw(st.binary(min_size=32 * count, max_size=32 * count))
    lost = used.clip(*sorted(draw(pairs.map(lambda pair: (pair[0] * 512, pair[1] * 512)))))
    words = {"uuid": draw(WORDS), "label": draw(WORDS)}
    what = (digests, number, "ext4", "used")
    return Segment("partition", offset, size, used, *what, **words, unreadable=lost)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    boot = Segment("boot", 0, MIB, Extents.whole(MIB), draw(st.binary(min_size=32, max_size=32)))
    parts, offset = [boot], MIB
    for number in range(1, draw(st.integers(1, 4))):
        parts.append(draw(segments(number, offset)))
        offset += parts[-1].size
    table = Table("gpt", draw(WORDS), 34, 2000, (TablePartition(1, 2048, 80, "L", bootable=True),))
    identity = Identity(draw(WORDS), draw(WORDS), draw(WORDS))
    disk = Disk("disk0", identity, offset + MIB, 512, 4096, table, tuple(parts))
    return Manifest("pc1", MIB, (disk,), Machine("pc1", draw(WORDS)), "0.1")


@given(manifests())
def test_manifests_come_back(manifest: Manifest) -> None:
    data = serialize(manifest)
    assert parse(data) == manifest
    assert serialize(parse(data)) == data
    assert json.loads(data)["slipway"] == 1
    stamped = manifest.stamped("20260101T000000Z", "2026-01-01T00:00:00Z", 5)
    assert parse(serialize(stamped)) == stamped


@settings(max_examples=300)
@given(st.data())
def test_every_changed_byte_is_found(data: st.DataObject) -> None:
    good = bytearray(GOOD)
    at = data.draw(st.integers(0, len(good) - 1))
    good[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FormatError):
        parse(bytes(good))


@given(st.binary(max_size=400), st.integers(0, 400))
def test_noise_and_stumps_are_refused(noise: bytes, length: int) -> None:
    for data in (noise, GOOD[:length], GOOD[:length] + noise):
        with pytest.raises(FormatError):
            parse(data)


def example() -> Manifest:
    boot = Segment("boot", 0, MIB, Extents.whole(MIB), bytes(32), content="table")
    used = Extents.of([(0, 4096), (2 * MIB, 3 * MIB)])
    part = Segment("partition", MIB, 4 * MIB, used, bytes(64), 1, "ext4", "used")
    disk = Disk("disk0", Identity("S"), 8 * MIB, 512, 512, Table("dos"), (boot, part))
    return Manifest("pc1", MIB, (disk,))


GOOD = serialize(example())


def sealed(body: Any) -> bytes:
    """Any body in an envelope with the right digest."""
    text = json.dumps(body).encode() if not isinstance(body, bytes) else body
    digest = hashlib.sha256(text).hexdigest()
    return b'{"slipway":1,"sha256":"%s","manifest":%s}\n' % (digest.encode(), text)


def changed(change: Callable[[dict[str, Any]], Any]) -> bytes:
    body = json.loads(GOOD)["manifest"]
    change(body)
    return sealed(body)


def test_the_envelope_helper_is_right() -> None:
    assert parse(changed(lambda body: None)) == example()


def disk(body: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = body["disks"][0]
    return result


def part(body: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = disk(body)["segments"][1]
    return result


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda b: b.update(name="../../etc"), "name"),
        (lambda b: b.update(name=["x"]), "name"),
        (lambda b: b.update(version="../x"), "version"),
        (lambda b: b.update(extra=1), "unknown key"),
        (lambda b: b.pop("cell_size"), "cell_size"),
        (lambda b: b.update(cell_size=3 * MIB), "power of two"),
        (lambda b: b.update(cell_size=64 * MIB), "cell_size"),
        (lambda b: b.update(cell_size=True), "cell_size"),
        (lambda b: b.update(disks=[]), "empty"),
        (lambda b: b["disks"].append(disk(b)), "twice"),
        (lambda b: disk(b).update(id="../x"), "disk name"),
        (lambda b: disk(b).update(size=-1), "size"),
        (lambda b: disk(b).update(size=1 << 80), "size"),
        (lambda b: disk(b).update(size=4 * MIB), "behind the end"),
        (lambda b: disk(b).update(logical_sector=100), "logical_sector"),
        (lambda b: disk(b)["identity"].update(serial="a\nb"), "serial"),
        (lambda b: disk(b)["identity"].update(serial="a" * 999), "serial"),
        (lambda b: disk(b)["segments"].reverse(), "boot segment"),
        (lambda b: disk(b)["segments"].pop(0), "boot segment"),
        (lambda b: disk(b)["segments"][0].update(used="0+1 1+1", unit=512), "not wholly used"),
        (lambda b: part(b).update(offset=1), "sector"),
        (lambda b: part(b).update(offset=0), "overlap"),
        (lambda b: part(b).update(offset=512 * 1024), "overlap"),
        (lambda b: part(b).update(kind="other"), "kind"),
        (lambda b: part(b).update(partition=None), "partition"),
        (lambda b: part(b).pop("partition"), "partition"),
        (lambda b: part(b).update(unit=3), "unit"),
        (lambda b: part(b).update(used="0+9999999"), "behind the end"),
        (lambda b: part(b).update(used="x"), "used map"),
        (lambda b: part(b).update(cells="00"), "one digest"),
        (lambda b: part(b).update(cells="zz" * 64), "hexadecimal"),
        (lambda b: part(b).update(cells="AA" * 64), "lower-case"),
        (lambda b: part(b).update(method="magic"), "method"),
        (lambda b: part(b).update(label="\u202e"), "label"),
        (lambda b: part(b).update(unreadable=""), "left out"),
        (lambda b: part(b).update(unreadable="8+1"), "not in the used map"),
        (lambda b: part(b).update(unreadable="7+2"), "not in the used map"),
        (lambda b: part(b).update(unreadable="0+1 0+1"), "touching"),
        (lambda b: part(b).update(unreadable=[]), "type str"),
        (lambda b: disk(b)["segments"].append(part(b)), "twice"),
    ],
)
def test_refused_bodies(change: Callable[[dict[str, Any]], Any], word: str) -> None:
    with pytest.raises(FormatError, match=word):
        parse(changed(change))


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b"NaN",
        b"[" * 100_000,
        b'{"name":1,"name":2}',
        b"9" * 5000,
        b'{"name":"\xff"}',
        b'"\\ud800"',
    ],
)
def test_hostile_json(body: bytes) -> None:
    with pytest.raises(FormatError):
        parse(sealed(body))


def test_other_format_versions_say_so() -> None:
    with pytest.raises(FormatError, match="another format version"):
        parse(GOOD.replace(b'"slipway":1', b'"slipway":2'))


def test_large_disk_stays_small() -> None:
    """A 2 TB disk with 1 GB used in 20,000 runs: well under 2 MB."""
    run, gap = 52_000 // 512 * 512, (2 << 40) // 20_000 // 512 * 512
    used = Extents.of((n * gap, n * gap + run) for n in range(20_000))
    count = used.count_cells(2 * MIB)
    whole = 3 << 40
    boot = Segment("boot", 0, MIB, Extents.whole(MIB), bytes(32))
    part = Segment("partition", MIB, 2 << 40, used, bytes(32 * count), 1, "ext4", "used")
    disk = Disk("disk0", Identity(), whole, 512, 512, Table("dos"), (boot, part))
    assert len(serialize(Manifest("pc1", 2 * MIB, (disk,)))) < 2_000_000


FULL_DISK = """
import os
from slipway.format import Disk, Extents, Identity, Manifest, Segment, Table, parse, serialize
cells = 1 << 20
boot = Segment("boot", 0, 512, Extents.whole(512), bytes(32), content="table")
data = Segment(
    "partition", 0, cells << 21, Extents.of([(512, cells << 21)]), os.urandom(32 * cells), 0, "ext4"
)
disk = Disk("disk0", Identity(), cells << 21, 512, 512, Table("none"), (boot, data))
packed = serialize(Manifest("pc1", 2 << 20, (disk,)))
del boot, data, disk
manifest = parse(packed)
del packed
assert manifest.cell_count == cells + 1
assert manifest.chunk_bytes == (cells << 21) + 512
# Its own peak: ru_maxrss begins with that of whoever started it.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_manifest_of_a_full_disk_of_2_tb_fits_into_little_memory() -> None:
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(run.stdout) < 220 << 10


@pytest.mark.parametrize("key", [b'"cells": ', b'"\\u0063ells":'])
def test_chunk_names_may_stand_in_any_json(key: bytes) -> None:
    """Names are unpacked beside the JSON where they are plain; elsewhere they mean the same."""
    body = GOOD.split(b'"manifest":', 1)[1].removesuffix(b"}\n")
    assert parse(sealed(body.replace(b'"cells":', key))) == example()
    for names in (b'"0"', b'"' + b"A" * 64 + b'"', b"0", b"null", b"[]"):
        with pytest.raises(FormatError):
            parse(sealed(body.replace(b'"cells":"' + b"0" * 64 + b'"', key + names)))
