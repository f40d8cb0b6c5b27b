"""The two copies of a GPT: what users have to know when they are not both sound and equal.

Programs, kernels and firmware take the primary while its checksums are right, else the backup. An
image keeps both as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from slipway.engine import gpt
from slipway.engine.devices import BlockDisk
from slipway.engine.other_units import hint, other_units
from slipway.engine.readable import primary_gpt, read_bytes
from slipway.engine.table import Stretch
from slipway.format import Table

_PROTECTIVE = "ee"


def said_of_table(
    disk: BlockDisk, handle: int, table: Table, stretches: Iterable[Stretch], disk_id: str
) -> Iterator[str]:
    """Warnings about a disk's table. A stretch without used bytes is one that can't be read."""
    name = f"{disk_id} ({disk.path})"
    if table.kind == "dos" and any(_type(line.type) == _PROTECTIVE for line in table.partitions):
        if units := other_units(disk, handle, table):
            yield f"{name}: {hint(units, disk, disk_id)}"
        else:
            yield (
                f"{name}: an MBR says that it has a GPT, and neither copy of that is sound; all "
                "sectors are saved: repair it with gdisk to save what is in use of its partitions"
            )
    for stretch in stretches:
        if stretch.kind == "gpt-backup":
            yield from (f"{name}: {each}" for each in _gpt(disk, handle, stretch))


def _gpt(disk: BlockDisk, handle: int, stretch: Stretch) -> Iterator[str]:
    if not stretch.used:
        yield (
            "the backup of its partition table can't be read; the table itself is sound, and a "
            "restore writes the backup anew"
        )
        return
    sector = disk.logical_sector
    primary = gpt.said_by_primary(primary_gpt(handle, sector), sector)
    backup = gpt.said_by_backup(read_bytes(handle, stretch.offset, stretch.size), sector)
    keeps = "; an image keeps both as they are, and gdisk makes the one from the other"
    if primary is None:
        yield f"its partition table is damaged, and the backup at the disk's end is used{keeps}"
    elif backup is None:
        yield f"the backup of its partition table is damaged or missing{keeps}"
    elif primary != backup:
        yield (
            "the two copies of its partition table are sound and differ; the first is used, as "
            f"firmware and systems do{keeps}"
        )


def _type(text: str) -> str:
    return text.lower().removeprefix("0x")
