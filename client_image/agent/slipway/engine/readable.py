"""What has to be readable for a backup to know what it saves; a sector lost there is no small loss.

A table that is only half known, or a used map from metadata that is only half there, would make
an image that lacks files and does not say so.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from slipway.engine import gpt
from slipway.engine.cells import ReadError, read_at
from slipway.engine.content.base import Volume
from slipway.engine.devices import BlockDisk
from slipway.engine.errors import SourceRefused, ToolError
from slipway.engine.run import ToolMissing
from slipway.engine.table import MAX_GAP, Stretch, parse_gpt_header
from slipway.format import Table

log = logging.getLogger(__name__)

_BLOCK = 1 << 20
# The type of an MBR's entry that keeps its hands off a GPT.
_PROTECTIVE = 0xEE
# Where file systems and containers keep what tells their kind; btrfs has it at 64 KiB.
_HEAD = 128 << 10
# What reading a program's answer raises when it is not of the form that was expected.
_NONSENSE = (
    ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, struct.error,
)  # fmt: skip


@contextmanager
def table_needed(disk: BlockDisk, disk_id: str) -> Generator[None, None, None]:
    """Refuse the disk when a read inside fails, or a program that looks at its table."""

    def refused(why: str) -> SourceRefused:
        return SourceRefused(
            f"{disk.path}: the partition table can't be read: {why}",
            f"save the disk sector by sector with --whole {disk_id}:disk",
        )

    try:
        yield
    except ReadError as error:
        raise refused(error.message) from error
    except ToolMissing:
        raise
    except (ToolError, *_NONSENSE) as error:
        raise refused(_words(error)) from error


@contextmanager
def metadata_needed(volume_id: str, disk: BlockDisk) -> Generator[None, None, None]:
    """Refuse the volume when a read inside fails, or a program that looks at it.

    Programs fail on what disks hold: on damage, and on what is newer or older than they are. They
    crash, or say what can't be read. None of that is a fault of the agent.
    """
    try:
        yield
    except ReadError as error:
        raise SourceRefused(
            f"{volume_id} of {disk.path}: what its file system says about itself can't be read: "
            f"{error.message}",
            f"save it sector by sector with --whole {volume_id}",
        ) from error
    except ToolMissing:
        raise
    except (ToolError, *_NONSENSE) as error:
        log.debug("%s has no used map", volume_id, exc_info=True)
        raise SourceRefused(
            f"{volume_id} of {disk.path}: nobody can tell what is in use there: {_words(error)}",
            "check it in its own operating system, or save it sector by sector with "
            f"--whole {volume_id}",
        ) from error


def _words(error: Exception) -> str:
    if isinstance(error, ToolError):
        return error.message
    return f"what its programs say makes no sense ({type(error).__name__}: {error})"


def read_start(handle: int, disk: BlockDisk) -> None:
    """Read sector 0 and the one behind it, where the primary GPT begins."""
    sector = disk.logical_sector
    _read(handle, 0, sector)
    if disk.size > sector:
        with _primary_needed(handle, disk):
            _read(handle, sector, sector)


@contextmanager
def _primary_needed(handle: int, disk: BlockDisk) -> Generator[None, None, None]:
    """Say how to mend a primary GPT that can't be read, when its backup can.

    An image with a hole there would boot nowhere: some firmware looks at nothing else.
    """
    try:
        yield
    except ReadError as error:
        if not _has_sound_backup(handle, disk):
            raise
        raise SourceRefused(
            f"the partition table can't be read: {error.message}; its backup at the disk's end is "
            "sound",
            f"let gdisk {disk.path} write it anew from that (command w), which often makes the "
            "disk replace the bad sector",
        ) from error


def _has_sound_backup(handle: int, disk: BlockDisk) -> bool:
    sector, last = disk.logical_sector, disk.size // disk.logical_sector - 1
    try:
        if _PROTECTIVE not in read_bytes(handle, 0, sector)[450:511:16]:
            return False
        header = parse_gpt_header(read_bytes(handle, last * sector, sector))
        if header is None or not 0 < last - header.entries <= MAX_GAP // sector:
            return False
        size = (last + 1 - header.entries) * sector
        backup = read_bytes(handle, header.entries * sector, size)
    except ReadError:
        return False
    return gpt.said_by_backup(backup, sector) is not None


def read_tables(
    handle: int, disk: BlockDisk, table: Table, stretches: Iterable[Stretch]
) -> list[Stretch]:
    """Read all that belongs to the table. The gap behind a boot sector is none of it.

    Returns what can't be read and is not needed: the backup of a GPT whose primary is sound.

    Where there is no partition, everything hangs on what blkid saw: it takes an unreadable head
    for an unknown one, and a file system's first sector may then pass for an empty table.
    """
    if not table.partitions:
        head = min(_HEAD, disk.size)
        _read(handle, 0, head)
        _read(handle, disk.size - head, head)
    lost: list[Stretch] = []
    if table.kind == "none":
        return lost
    for stretch in sorted(stretches, key=lambda each: each.offset):
        if stretch.kind == "boot":
            with _primary_needed(handle, disk):
                _read(handle, 0, min(_table_end(handle, disk.logical_sector), stretch.size))
        elif stretch.kind == "ebr":
            _read(handle, stretch.offset, stretch.size)
        elif stretch.kind == "gpt-backup":
            try:
                _read(handle, stretch.offset, stretch.size)
            except ReadError:
                sector = disk.logical_sector
                if not gpt.is_sound(primary_gpt(handle, sector), sector):
                    raise
                lost.append(stretch)
    return lost


def primary_gpt(handle: int, sector: int) -> bytes:
    """The bytes from sector 0 to the end of the primary GPT's entries."""
    return read_bytes(handle, 0, min(_table_end(handle, sector), MAX_GAP))


def read_bytes(handle: int, offset: int, size: int) -> bytes:
    """A part of a disk."""
    buffer = bytearray(size)
    read_at(handle, memoryview(buffer), offset)
    return bytes(buffer)


def _table_end(handle: int, sector: int) -> int:
    header = parse_gpt_header(read_bytes(handle, sector, sector))
    if header is None:
        return sector
    return header.entries * sector + header.entry_count * header.entry_size


def read_head(volume: Volume) -> None:
    """Read what blkid looks at: it takes an unreadable head for an unknown one."""
    volume.read(0, min(_HEAD, volume.size))


def _read(handle: int, offset: int, size: int) -> None:
    buffer = memoryview(bytearray(min(_BLOCK, size)))
    for start in range(0, size, _BLOCK):
        read_at(handle, buffer[: min(_BLOCK, size - start)], offset + start)
