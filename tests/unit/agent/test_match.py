# SPDX-License-Identifier: GPL-3.0-or-later
"""Line-ups of disks: the right one is found by identity, and no wrong one ever."""

import itertools
from pathlib import Path

import pytest
from slipway.engine.devices import BlockDisk
from slipway.engine.errors import TargetRefused, UsageError
from slipway.engine.match import match_disks
from slipway.format import Disk, Extents, Identity, Manifest, Segment, Table

GB = 10**9 // 4096 * 4096
A = Identity("S-A", "0x5000a", "Samsung 870")
B = Identity("S-B", "0x5000b", "Samsung 870")
NOBODY = Identity()


def image(*disks: tuple[Identity, int, int]) -> Manifest:
    boot = Segment("boot", 0, 4096, Extents.whole(4096), bytes(32))
    return Manifest(
        "pc",
        1 << 20,
        tuple(
            Disk(
                f"disk{i}",
                identity,
                size,
                sector,
                sector,
                Table("none"),
                (boot, Segment("partition", 0, size, Extents.of([]), b"", 0)),
            )
            for i, (identity, size, sector) in enumerate(disks)
        ),
    )


def seen(name: str, identity: Identity, size: int = GB, sector: int = 512) -> BlockDisk:
    return BlockDisk(Path(f"/dev/{name}"), size, sector, sector, identity)


ONE = image((A, GB, 512))
TWO = image((A, GB, 512), (B, GB, 512))


@pytest.mark.parametrize("order", list(itertools.permutations(["sda", "sdb", "sdc"])))
def test_names_and_order_mean_nothing(order: tuple[str, ...]) -> None:
    other = Identity("S-C", "0x5000c", "Samsung 870")
    disks = [seen(name, each) for name, each in zip(order, (A, B, other), strict=True)]
    for listed in itertools.permutations(disks):
        pairs = match_disks(TWO, listed, {}, named=False)
        assert [pair.target.identity for pair in pairs] == [A, B]


@pytest.mark.parametrize(
    "disks",
    [
        [],
        [seen("sda", B)],
        [seen("sda", NOBODY)],
        [seen("sda", A), seen("sdb", A)],
        [seen("sda", Identity("S-A", "0x5000a", "Other model"))],
        [seen("sda", Identity("S-A", "0x5000f", "Samsung 870"))],
        [seen("sda", Identity("S-X", "0x5000a", "Samsung 870"))],
        [seen("sda", Identity("", "0x5000a", "Samsung 870"))],
        [seen("sda", Identity("S-A ".lower(), "", ""))],
        [seen("sda", A, size=GB - 4096)],
        [seen("sda", A, sector=4096)],
        [BlockDisk(Path("/dev/sda"), GB, 512, 512, A, read_only=True)],
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_refused_line_ups(disks: list[BlockDisk], named: bool) -> None:
    with pytest.raises(TargetRefused) as error:
        match_disks(ONE, disks, {}, named)
    assert error.value.remedy


@pytest.mark.parametrize(
    "found",
    [
        A,
        Identity("S-A", "", ""),
        Identity("S-A", "", "Samsung 870"),
    ],
)
def test_what_a_disk_does_not_say_is_not_held_against_it(found: Identity) -> None:
    [pair] = match_disks(ONE, [seen("sdb", found), seen("sda", B)], {}, named=False)
    assert pair.target.path == Path("/dev/sdb")


def test_wwn_alone_is_enough() -> None:
    wanted = image((Identity("", "0x5000a", ""), GB, 512))
    [pair] = match_disks(wanted, [seen("sda", B), seen("sdb", A)], {}, named=False)
    assert pair.target.identity == A


def test_disks_without_serial_numbers_have_to_be_named() -> None:
    wanted = image((NOBODY, GB, 512))
    blank, other = seen("vda", NOBODY), seen("vdb", NOBODY, 2 * GB)
    with pytest.raises(TargetRefused, match="no serial number"):
        match_disks(wanted, [blank], {}, named=False)
    [pair] = match_disks(wanted, [other, blank], {}, named=True)
    assert pair.target == blank
    for disks in ([other], [blank, blank], [seen("vda", Identity(model="M"))]):
        with pytest.raises(TargetRefused):
            match_disks(wanted, disks, {}, named=True)


def test_override_ignores_identity_and_nothing_else() -> None:
    [pair] = match_disks(ONE, [], {"disk0": seen("sdz", B, 2 * GB)}, named=False)
    assert pair.target.path == Path("/dev/sdz")
    for wrong in (seen("sdz", A, GB // 2), seen("sdz", A, GB, 4096)):
        with pytest.raises(TargetRefused):
            match_disks(ONE, [], {"disk0": wrong}, named=False)
    with pytest.raises(UsageError):
        match_disks(ONE, [seen("sda", A)], {"disk9": seen("sdz", B)}, named=False)


def test_one_disk_is_never_two_targets() -> None:
    target = seen("sda", A)
    with pytest.raises(TargetRefused, match="two disks"):
        match_disks(TWO, [target], {"disk1": target}, named=False)
