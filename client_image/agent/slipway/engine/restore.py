# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore and compare: all that can be refused is refused first, then disk after disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing

from slipway.engine.content.swap import resized
from slipway.engine.devices import open_read_only
from slipway.engine.direct import cell_reader
from slipway.engine.errors import ImageDamaged, ImageDegraded, TargetRefused
from slipway.engine.fit import has_place
from slipway.engine.foreign import DISK
from slipway.engine.grow import grow
from slipway.engine.mapping import table_of
from slipway.engine.match import Pair
from slipway.engine.progress import Meter
from slipway.engine.reshape import at_place
from slipway.engine.restore_work import DiskJob, Mode, Work
from slipway.engine.result import CellCounts, DiskResult, PartitionResult, Result
from slipway.engine.selection import check_places, is_whole
from slipway.engine.store import ChunkSource, damaged, fetch_content
from slipway.engine.table_writer import TableWriter
from slipway.engine.target import Target
from slipway.format import FormatError, Manifest


def restore(
    manifest: Manifest,
    pairs: Sequence[Pair],
    store: ChunkSource,
    meter: Meter,
    mode: Mode,
    threads: int = 0,
    *,
    allow_degraded: bool = False,
    read_back: bool = False,
) -> Result:
    """Make the targets equal to the image; in the other modes only say what differs.

    Everything that can be refused is refused before the first write. With `read_back`, all that
    the image holds is read from the disk once more before it may boot.
    """
    if mode != "compare" and not allow_degraded:
        refuse_degraded(manifest)
    with ExitStack() as stack:
        jobs = []
        for pair in pairs:
            handle = stack.enter_context(open_read_only(pair.target, TargetRefused))
            target = stack.enter_context(closing(Target(pair.target, pair.image, handle)))
            reader = stack.enter_context(cell_reader(pair.target, handle))
            jobs.append(DiskJob(pair, target, reader))
            if not is_whole(pair.image):
                check_places(pair.image, table_of(pair.target), pair.target.path)
        if mode != "compare":
            prove(manifest, store, meter)
        for job in jobs:
            job.heads = _heads(job.pair, store, manifest.cell_size)
            job.table = TableWriter(
                job.target,
                job.pair.image,
                store,
                manifest.cell_size,
                job.pair.fit,
            )
        read_back = read_back and mode == "restore"
        work = Work(manifest.cell_size, store, meter, mode, threads, read_back)
        total = sum(job.pair.image.used_bytes for job in jobs) * (2 if read_back else 1)
        with meter.phase("restore" if mode == "restore" else "compare", total):
            for job in jobs:
                work.run(job)
        if mode == "restore":
            _grow(jobs, meter)
    return _result(manifest, jobs, meter, mode)


def _grow(jobs: Sequence[DiskJob], meter: Meter) -> None:
    """The disks are whole now; whatever happens here, they boot."""
    growths = [(job, growth) for job in jobs for growth in job.pair.fit.growths]
    if not growths:
        return
    with meter.phase("grow", 0):
        for job, growth in growths:
            meter.at(job.pair.image.id, growth.segment.id)
            target = job.pair.target
            grow(target.path, target.logical_sector, growth.segment, growth.end)
            job.target.reread_table()


def prove(manifest: Manifest, store: ChunkSource, meter: Meter) -> None:
    """Raise ImageDamaged unless every chunk of the version is there and sound."""
    with meter.phase("check", manifest.chunk_bytes):
        problems = store.prove(manifest, meter)
    if problems:
        raise damaged(problems, f"{manifest.name}@{manifest.version}")


def refuse_degraded(manifest: Manifest) -> None:
    """Raise ImageDegraded when the version lacks sectors, and say how many and where."""
    if not manifest.unreadable_bytes:
        return
    places = [
        f"{disk.id}:{segment.id} ({segment.unreadable.total} bytes)"
        for disk in manifest.disks
        for segment in disk.segments
        if segment.unreadable
    ]
    raise ImageDegraded(
        f"{manifest.name}@{manifest.version} is degraded: {manifest.unreadable_bytes} bytes of its "
        f"source could not be read and would be zeros, in {', '.join(places)}; nothing was written",
    )


def _heads(pair: Pair, store: ChunkSource, cell_size: int) -> dict[str, bytes]:
    """First cells that are not what the image has: sizes and places stand in them.

    Made before the first write: a chunk that is no header is found while nothing is lost yet.
    """
    heads, image = {}, pair.image
    for segment in image.segments:
        if (segment.id, 0) not in pair.fit.partial or segment.kind != "partition":
            continue
        cell = next(iter(segment.cells(cell_size)))
        content = bytes(fetch_content(store, cell.digest, cell.size))
        try:
            if segment.id in pair.fit.swaps:
                content = resized(content, pair.fit.swaps[segment.id])
            if has_place(segment, pair.fit.starts):
                was = next(p.start for p in image.table.partitions if p.number == segment.partition)
                content = at_place(content, was, segment.offset // image.logical_sector)
        except FormatError as error:
            raise ImageDamaged(
                f"{image.id}:{segment.id} of the image is {segment.content}, but {error}",
                "use another version, or restore to a disk of the same size",
            ) from error
        heads[segment.id] = content
    return heads


def _result(manifest: Manifest, jobs: Iterable[DiskJob], meter: Meter, mode: Mode) -> Result:
    jobs = list(jobs)
    differing = sum(sum(job.differing.values()) for job in jobs)
    total = sum(len(each.digests) // 32 for job in jobs for each in job.pair.image.segments)
    return Result(
        verb="compare" if mode == "compare" else "restore",
        changed=differing > 0 or any(job.foreign.kinds or job.pair.fit.growths for job in jobs),
        image=manifest.name,
        version=manifest.version,
        read=sum(job.pair.image.used_bytes for job in jobs),
        written=meter.written,
        stored=manifest.stored_bytes,
        cells=CellCounts(
            total=total,
            written=differing if mode == "restore" else 0,
            same=total - differing,
        ),
        unreadable=manifest.unreadable_bytes,
        disks=tuple(_disk_result(job) for job in jobs),
    )


def _disk_result(job: DiskJob) -> DiskResult:
    return DiskResult(
        disk=job.pair.image.id,
        device=str(job.pair.target.path),
        partitions=(
            *(
                PartitionResult(
                    partition=segment.id,
                    content=segment.content,
                    method=segment.method,
                    bytes_used=segment.used.total,
                    differs=job.differs.get(segment.id, 0),
                    differing_cells=job.differing.get(segment.id, 0),
                    unreadable=segment.unreadable.total,
                    foreign=tuple(job.foreign.kinds.get(segment.id, ())),
                )
                for segment in job.pair.image.segments
                if segment.kind == "partition" or segment.id in job.differs or segment.unreadable
            ),
            *(
                PartitionResult(DISK, "gap", "whole", 0, foreign=tuple(kinds))
                for name, kinds in job.foreign.kinds.items()
                # Content without a table has that name, too, and a line of its own.
                if name == DISK and all(each.id != DISK for each in job.pair.image.segments)
            ),
        ),
    )
