# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring one disk: find the cells that differ, and write those, the table last of all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from slipway.engine.cells import Runs, aligned_buffer, digest_of_cell, read_cell, zeros
from slipway.engine.errors import DeviceError, SlipwayError
from slipway.engine.foreign import Area, Foreign, areas
from slipway.engine.match import Pair
from slipway.engine.parallel import cores, parallel
from slipway.engine.progress import Meter
from slipway.engine.selection import is_whole
from slipway.engine.store import ChunkSource, fetch_content
from slipway.engine.table_writer import TableWriter
from slipway.engine.target import Target
from slipway.format import Cell, Segment, digest_of

Mode = Literal["restore", "dry-run", "compare"]
# When none of so many cells matches, looking at the others costs more than it saves.
_SAMPLE = 32


@dataclass
class DiskJob:
    """One disk of the image, its target, and what is known of how they differ."""

    pair: Pair
    target: Target
    reader: int
    table: TableWriter = field(init=False)
    heads: dict[str, bytes] = field(init=False)
    """The first cell of segments that get another size or place, by segment."""
    differs: dict[str, int] = field(default_factory=dict)
    differing: dict[str, int] = field(default_factory=dict)
    foreign: Foreign = field(init=False)

    def __post_init__(self) -> None:
        """Nothing foreign is known yet."""
        self.foreign = Foreign(self.target)

    def note(self, segment: Segment, size: int, cells: int) -> None:
        """Bytes and cells of a segment differ."""
        self.differs[segment.id] = self.differs.get(segment.id, 0) + size
        self.differing[segment.id] = self.differing.get(segment.id, 0) + cells

    def areas(self) -> list[Area]:
        """Its volumes, as they will be before any file system grows."""
        image = self.pair.image
        return areas(image, self.pair.target.size, self.pair.fit.ends, is_whole(image))

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


class Work:
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
        """Zero `threads` are as many as the machine and the store bear."""
        self.cell_size = cell_size
        self.store = store
        self.meter = meter
        self.mode = mode
        self.threads = threads or max(cores(), 2 * store.threads)
        self.read_back = read_back
        self.lock = threading.Lock()
        self.reading = threading.Lock()
        self.zero_digest = digest_of(zeros(cell_size))

    def run(self, job: DiskJob) -> None:
        """Bring one disk in order, or in the other modes note how it differs."""
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
            if job.target.touched:
                job.foreign.check(found)
            self._look_again(job, self._tasks([*data, *gaps]))
            self._table(job)
        except SlipwayError as error:
            if not job.target.touched:
                raise
            raise type(error)(
                f"{error.message}; {job.half()}",
                f"{error.remedy}; then restore again, which goes on where this ended",
            ) from error

    def _one_partition(self, job: DiskJob, segment: Segment, plain: bool) -> None:
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
        if job.target.touched:
            job.foreign.check(found)
            job.target.reread_table()

    def _pass(self, job: DiskJob, tasks: Iterable[_Task], plain: bool) -> None:
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

    def _foreign(self, job: DiskJob, found: Sequence[Area]) -> None:
        """Clear, or in the other modes name, what is left of other systems beside the image."""
        job.foreign.name(found)
        if self.mode == "restore" and (job.foreign.kinds or job.target.touched):
            self.meter.add(written=job.foreign.clear(found))

    def _look_again(self, job: DiskJob, tasks: Iterable[_Task]) -> None:
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

    def _disarm_for(self, job: DiskJob, gaps: Sequence[Segment]) -> None:
        """Clear the old table's marks before the gaps are compared: one may lie in a gap."""
        if self.mode == "restore" and not job.target.touched:
            buffer = aligned_buffer(self.cell_size)
            if not all(self._same(job, task, buffer) for task in self._tasks(gaps)):
                job.target.disarm()

    def _tasks(self, segments: Iterable[Segment]) -> Generator[_Task, None, None]:
        for segment in segments:
            for cell in segment.cells(self.cell_size):
                yield _task(segment, cell, self.cell_size)

    def _nothing_matches(self, job: DiskJob, segments: Sequence[Segment]) -> bool:
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

    def _worker(self, job: DiskJob, plain: bool) -> Callable[[_Task], None]:
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

    def _same(self, job: DiskJob, task: _Task, buffer: memoryview) -> bool:
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

    def _fill(self, job: DiskJob, task: _Task, content: memoryview) -> None:
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

    def _table(self, job: DiskJob) -> None:
        if self.mode == "restore" and (job.differs or job.foreign.kinds or job.target.touched):
            self.meter.add(written=job.table.write())
        tables = sum(each.used.total for each in job.pair.image.segments if each.is_table)
        self.meter.add(done=tables)
        if self.read_back:
            job.target.drop_caches()
            for segment in job.table.differing():
                job.target.clear_again()
                raise _not_kept(job, segment.offset)
            self.meter.add(done=tables)


def _not_kept(job: DiskJob, offset: int) -> DeviceError:
    return DeviceError(
        f"{job.pair.target.path} does not hold what was written to it: at byte {offset} other "
        "bytes came back",
        "check its health (smartctl), its cable and the machine's memory, or replace it",
    )


def _task(segment: Segment, cell: Cell, cell_size: int) -> _Task:
    start = cell.number * cell_size
    runs = segment.used.within(start, start + cell.size)
    return _Task(segment, cell, [(a - start, b - start) for a, b in runs])
