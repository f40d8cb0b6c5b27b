# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore and compare: find the cells that differ, and write those, the table last of all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Literal

from slipway.engine.cells import Runs, aligned_buffer, digest_of_cell, read_cell, zeros
from slipway.engine.content.swap import resized
from slipway.engine.devices import open_read_only
from slipway.engine.direct import cell_reader
from slipway.engine.errors import (
    DeviceError,
    ImageDamaged,
    ImageDegraded,
    SlipwayError,
    TargetRefused,
)
from slipway.engine.fit import has_place
from slipway.engine.foreign import DISK, ROUNDS, Area, Mark, areas, marks, mistaken
from slipway.engine.grow import grow
from slipway.engine.mapping import table_of
from slipway.engine.match import Pair
from slipway.engine.parallel import cores, parallel
from slipway.engine.progress import Meter
from slipway.engine.reshape import at_place
from slipway.engine.result import CellCounts, DiskResult, PartitionResult, Result
from slipway.engine.selection import check_places, is_whole
from slipway.engine.store import ChunkSource, damaged, fetch_content
from slipway.engine.table_writer import TableWriter
from slipway.engine.target import Target
from slipway.format import Cell, FormatError, Manifest, Segment, digest_of

Mode = Literal["restore", "dry-run", "compare"]
# When none of so many cells matches, looking at the others costs more than it saves.
_SAMPLE = 32


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
            jobs.append(_DiskJob(pair, target, reader))
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
                job.pair.fit.ends,
                job.pair.fit.starts,
            )
        read_back = read_back and mode == "restore"
        work = _Work(manifest.cell_size, store, meter, mode, threads, read_back)
        total = sum(job.pair.image.used_bytes for job in jobs) * (2 if read_back else 1)
        with meter.phase("restore" if mode == "restore" else "compare", total):
            for job in jobs:
                work.run(job)
        if mode == "restore":
            _grow(jobs, meter)
    return _result(manifest, jobs, meter, mode)


def _grow(jobs: Sequence[_DiskJob], meter: Meter) -> None:
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


@dataclass
class _DiskJob:
    pair: Pair
    target: Target
    reader: int
    table: TableWriter = field(init=False)
    heads: dict[str, bytes] = field(init=False)
    """The first cell of segments that get another size or place, by segment."""
    differs: dict[str, int] = field(default_factory=dict)
    differing: dict[str, int] = field(default_factory=dict)
    foreign: dict[str, list[str]] = field(default_factory=dict)

    def note(self, segment: Segment, size: int, cells: int) -> None:
        self.differs[segment.id] = self.differs.get(segment.id, 0) + size
        self.differing[segment.id] = self.differing.get(segment.id, 0) + cells

    def areas(self) -> list[Area]:
        """Its volumes, as they will be before any file system grows."""
        image = self.pair.image
        return areas(image, self.pair.target.size, self.pair.fit.ends, is_whole(image))

    def marks(self, area: Area) -> list[Mark]:
        """What other systems left there, beside what the image holds."""
        return marks(self.pair.target.path, area, self.pair.target.logical_sector)

    def half(self) -> str:
        """What a failure after the first write leaves behind."""
        if is_whole(self.pair.image):
            return f"{self.pair.target.path} is half restored and can't boot"
        names = ", ".join(segment.id for segment in self.pair.image.segments)
        return (
            f"partition {names} of {self.pair.target.path} may be half restored and can't be used"
        )


@dataclass(frozen=True)
class _Task:
    segment: Segment
    cell: Cell
    runs: Runs


class _Work:
    """The cells of one disk after another, each looked at by one of many threads."""

    def __init__(
        self,
        cell_size: int,
        store: ChunkSource,
        meter: Meter,
        mode: Mode,
        threads: int,
        read_back: bool,
    ) -> None:
        self.cell_size = cell_size
        self.store = store
        self.meter = meter
        self.mode = mode
        self.threads = threads or max(cores(), 2 * store.threads)
        self.read_back = read_back
        self.lock = threading.Lock()
        self.reading = threading.Lock()
        self.zero_digest = digest_of(zeros(cell_size))

    def run(self, job: _DiskJob) -> None:
        try:
            for segment in job.table.differing():
                # A backup GPT that the image has not is made of the primary.
                job.note(
                    segment, segment.used.total or segment.size, len(segment.digests) // 32 or 1
                )
            data = [each for each in job.pair.image.segments if each.kind == "partition"]
            gaps = [each for each in job.pair.image.segments if each.kind == "gap"]
            plain = self.mode == "restore" and self._nothing_matches(job, data)
            if not is_whole(job.pair.image):
                for segment in data:
                    self._one_partition(job, segment, plain)
                return
            self._pass(job, self._tasks(data), plain)
            self._disarm_for(job, gaps)
            self._pass(job, self._tasks(gaps), plain)
            job.target.flush()
            found = job.areas()
            self._foreign(job, found)
            self._check_contents(job, found)
            self._look_again(job, self._tasks([*data, *gaps]))
            self._table(job)
        except SlipwayError as error:
            if not job.target.touched:
                raise
            raise type(error)(
                f"{error.message}; {job.half()}",
                f"{error.remedy}; then restore again, which goes on where this ended",
            ) from error

    def _one_partition(self, job: _DiskJob, segment: Segment, plain: bool) -> None:
        """Its first cell goes last: until then no system finds a file system there."""
        job.target.only(segment)
        found = [area for area in job.areas() if area.id == segment.id]
        for head in (False, True):
            tasks = [each for each in self._tasks([segment]) if (each.cell.number == 0) is head]
            if head:
                self._foreign(job, found)
            self._pass(job, tasks, plain)
            job.target.flush()
            self._look_again(job, tasks)
        self._check_contents(job, found)
        if job.target.touched:
            job.target.reread_table()

    def _pass(self, job: _DiskJob, tasks: Iterable[_Task], plain: bool) -> None:
        for those in self._by_disc(tasks):
            parallel(those, lambda: self._worker(job, plain), self.threads)

    def _by_disc(self, tasks: Iterable[_Task]) -> Generator[Iterable[_Task], None, None]:
        """The tasks that want one medium, and then the next: nobody waits in two queues."""
        if self.store.discs == 1:
            yield tasks
            return
        listed = list(tasks)
        for disc in range(1, self.store.discs + 1):
            yield [each for each in listed if self.store.disc(each.cell.digest) == disc]

    def _foreign(self, job: _DiskJob, found: Sequence[Area]) -> None:
        """Clear, or in the other modes name, what is left of other systems beside the image."""
        job.target.flush()
        for area in found:
            kinds = {mark.kind for mark in job.marks(area)} | {mistaken(job.pair.target.path, area)}
            if kinds := kinds - {""}:
                job.foreign[area.id] = sorted(kinds.union(job.foreign.get(area.id, ())))
        if self.mode == "restore" and (job.foreign or job.target.touched):
            self.meter.add(written=sum(self._clear(job, area) for area in found))

    @staticmethod
    def _check_contents(job: _DiskJob, found: Sequence[Area]) -> None:
        """Raise unless each partition that was written is taken for what the image says."""
        path = job.pair.target.path
        for area in found if job.target.touched else ():
            if other := mistaken(path, area):
                raise DeviceError(
                    f"partition {area.id} of {path} would be taken for {other}",
                    f"clear the disk with: wipefs --all {path}",
                )

    def _clear(self, job: _DiskJob, area: Area) -> int:
        """Leave no mark in an area; return how many bytes that took."""
        written = 0
        for start, end in area.edges:
            if any(job.target.read(area.offset + start, end - start)):
                job.target.write(area.offset + start, bytes(end - start))
                written += end - start
        for _ in range(ROUNDS):
            job.target.flush()
            left = job.marks(area)
            if not left:
                return written
            for mark in left:
                job.target.write(mark.offset, bytes(mark.size))
                written += mark.size
        raise DeviceError(
            f"{job.pair.target.path} keeps marks of {', '.join(mark.kind for mark in left)}",
            f"clear it with: wipefs --all {job.pair.target.path}",
        )

    def _look_again(self, job: _DiskJob, tasks: Iterable[_Task]) -> None:
        """Read from the disk what it should hold by now."""
        if not self.read_back:
            return
        job.target.drop_caches()

        def worker() -> Callable[[_Task], None]:
            buffer = aligned_buffer(self.cell_size)

            def look(task: _Task) -> None:
                self.meter.at(job.pair.image.id, task.segment.id)
                if not self._same(job, task, buffer):
                    raise _not_kept(job, task.cell.offset)
                self.meter.add(done=sum(end - start for start, end in task.runs))

            return look

        parallel(tasks, worker, self.threads)

    def _disarm_for(self, job: _DiskJob, gaps: Sequence[Segment]) -> None:
        """Clear the old table's marks before the gaps are compared: one may lie in a gap."""
        if self.mode == "restore" and not job.target.touched:
            buffer = aligned_buffer(self.cell_size)
            if not all(self._same(job, task, buffer) for task in self._tasks(gaps)):
                job.target.disarm()

    def _tasks(self, segments: Iterable[Segment]) -> Generator[_Task, None, None]:
        for segment in segments:
            for cell in segment.cells(self.cell_size):
                yield _task(segment, cell, self.cell_size)

    def _nothing_matches(self, job: _DiskJob, segments: Sequence[Segment]) -> bool:
        total = sum(len(each.digests) // 32 for each in segments)
        if total < 2 * _SAMPLE:
            return False
        step = total // _SAMPLE
        sample = [task for i, task in enumerate(self._tasks(segments)) if i % step == 0]
        found = threading.Event()

        def worker() -> Callable[[_Task], None]:
            buffer = aligned_buffer(self.cell_size)

            def look(task: _Task) -> None:
                if not found.is_set() and self._same(job, task, buffer):
                    found.set()

            return look

        parallel(sample, worker, cores())
        return not found.is_set()

    def _worker(self, job: _DiskJob, plain: bool) -> Callable[[_Task], None]:
        buffer = aligned_buffer(self.cell_size)

        def work(task: _Task) -> None:
            self.meter.at(job.pair.image.id, task.segment.id)
            used = sum(end - start for start, end in task.runs)
            if plain or not self._same(job, task, buffer):
                with self.lock:
                    job.note(task.segment, used, 1)
                if self.mode == "restore":
                    content = buffer[: task.cell.size]
                    self._fill(job, task, content)
                    written = job.target.write_cell(content, task.cell.offset, task.runs)
                    self.meter.add(written=written)
            self.meter.add(done=used)

        return work

    def _same(self, job: _DiskJob, task: _Task, buffer: memoryview) -> bool:
        view = buffer[: task.cell.size]
        try:
            with self.reading:
                read_cell(job.reader, view, task.cell.offset, task.runs)
        except DeviceError:
            # An unreadable sector of the target may well be cured by writing it.
            return False
        if (task.segment.id, task.cell.number) in job.pair.fit.partial:
            content = memoryview(bytearray(task.cell.size))
            self._fill(job, task, content)
            return all(view[start:end] == content[start:end] for start, end in task.runs)
        return digest_of_cell(view) == task.cell.digest

    def _fill(self, job: _DiskJob, task: _Task, content: memoryview) -> None:
        """Make `content` what the task's cell holds."""
        cell = task.cell
        if cell.digest == self.zero_digest and cell.size == self.cell_size:
            content[:] = zeros(self.cell_size)
            return
        head = job.heads.get(task.segment.id) if cell.number == 0 else None
        if head is not None:
            content[:] = head
            return
        fetch_content(self.store, cell.digest, cell.size, content)

    def _table(self, job: _DiskJob) -> None:
        if self.mode == "restore" and (job.differs or job.foreign or job.target.touched):
            self.meter.add(written=job.table.write())
        tables = sum(each.used.total for each in job.pair.image.segments if each.is_table)
        self.meter.add(done=tables)
        if self.read_back:
            job.target.drop_caches()
            for segment in job.table.differing():
                job.target.clear_again()
                raise _not_kept(job, segment.offset)
            self.meter.add(done=tables)


def _not_kept(job: _DiskJob, offset: int) -> DeviceError:
    return DeviceError(
        f"{job.pair.target.path} does not hold what was written to it: at byte {offset} other "
        "bytes came back",
        "check its health (smartctl), its cable and the machine's memory, or replace it",
    )


def _task(segment: Segment, cell: Cell, cell_size: int) -> _Task:
    start = cell.number * cell_size
    runs = segment.used.within(start, start + cell.size)
    return _Task(segment, cell, [(a - start, b - start) for a, b in runs])


def _result(manifest: Manifest, jobs: Iterable[_DiskJob], meter: Meter, mode: Mode) -> Result:
    jobs = list(jobs)
    differing = sum(sum(job.differing.values()) for job in jobs)
    total = sum(len(each.digests) // 32 for job in jobs for each in job.pair.image.segments)
    return Result(
        verb="compare" if mode == "compare" else "restore",
        changed=differing > 0 or any(job.foreign or job.pair.fit.growths for job in jobs),
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


def _disk_result(job: _DiskJob) -> DiskResult:
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
                    foreign=tuple(job.foreign.get(segment.id, ())),
                )
                for segment in job.pair.image.segments
                if segment.kind == "partition" or segment.id in job.differs or segment.unreadable
            ),
            *(
                PartitionResult(DISK, "gap", "whole", 0, foreign=tuple(kinds))
                for name, kinds in job.foreign.items()
                # Content without a table has that name, too, and a line of its own.
                if name == DISK and all(each.id != DISK for each in job.pair.image.segments)
            ),
        ),
    )
