"""Backup: map the disks, send the cells that the store lacks, publish the version."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from slipway import __version__
from slipway.engine.agreement import refuse_refused, settled
from slipway.engine.cells import ReadError, Runs, aligned_buffer, read_cell, seal_of_cell
from slipway.engine.devices import BlockDisk, open_read_only
from slipway.engine.direct import cell_reader
from slipway.engine.errors import DeviceError
from slipway.engine.gaps import surveyed
from slipway.engine.mapping import DiskMap, How, Mapped, known_identity, map_disk
from slipway.engine.memory import give_back
from slipway.engine.parallel import cores, parallel
from slipway.engine.progress import Meter
from slipway.engine.rescue import MAX_SECONDS, MAX_UNREADABLE, Budget, Rescuer
from slipway.engine.result import CellCounts, DiskResult, PartitionResult, Result
from slipway.engine.store import ChunksLacking, Published, Store
from slipway.format import Disk, Extents, Machine, Manifest, Segment, make_frame

CELL_SIZE = 2 << 20
_BUFFERS = 48 << 20
# A set of this many digests takes about 30 MB; beyond it the store is asked again.
_REMEMBERED = 200_000


@dataclass(frozen=True)
class Options:
    """How to save."""

    level: int = 3
    threads: int = 0
    how: How = field(default_factory=How)
    max_unreadable: int = MAX_UNREADABLE
    """Bytes; when the disks lack more, nothing is published."""
    rescue_seconds: float = MAX_SECONDS
    """How long failing reads may take altogether."""


@dataclass
class _Source:
    """One stretch on its way into a segment."""

    map: DiskMap
    part: Mapped
    handle: int
    rescuer: Rescuer
    digests: bytearray = field(init=False)
    unreadable: Runs = field(default_factory=list)

    def __post_init__(self) -> None:
        self.digests = bytearray(32 * self.part.used.count_cells(CELL_SIZE))


@dataclass(frozen=True)
class _Task:
    """One cell to read."""

    source: _Source
    index: int
    number: int

    @property
    def offset(self) -> int:
        """Where it begins on the disk."""
        return self.source.part.stretch.offset + self.number * CELL_SIZE

    @property
    def size(self) -> int:
        return min(CELL_SIZE, self.source.part.stretch.size - self.number * CELL_SIZE)

    def runs(self) -> Runs:
        """What of it is used, relative to its begin."""
        start = self.number * CELL_SIZE
        used = self.source.part.used.within(start, start + self.size)
        return [(a - start, b - start) for a, b in used]


def backup(
    disks: Sequence[BlockDisk],
    name: str,
    store: Store,
    meter: Meter,
    machine: Machine,
    options: Options,
    warn: Callable[[str], None] = lambda _: None,
) -> Result:
    """Save the disks as a new version of image `name`. `warn` is told what does not stop it."""
    with ExitStack() as stack:
        handles = [stack.enter_context(open_read_only(disk)) for disk in disks]
        maps = _map_all(disks, handles, options, meter)
        for warning in (each for disk_map in maps for each in disk_map.warnings):
            warn(warning)
        budget = Budget(options.max_unreadable, options.rescue_seconds)
        rescuers = [Rescuer(disk, budget) for disk in disks]
        readers = [
            stack.enter_context(cell_reader(disk, handle))
            for disk, handle in zip(disks, handles, strict=True)
        ]
        sources = [
            _Source(disk_map, part, reader, rescuer)
            for disk_map, reader, rescuer in zip(maps, readers, rescuers, strict=True)
            for part in disk_map.parts
        ]
        job = _Job(store, meter, options)
        with meter.phase("backup", sum(disk_map.used_bytes for disk_map in maps)):
            job.run(sources)
        give_back()
        total = job.total
        manifest, published = _publish(name, machine, maps, sources, job)
    return Result(
        verb="backup",
        changed=True,
        image=name,
        version=published.version,
        read=manifest.used_bytes,
        sent=meter.sent,
        written=0,
        stored=published.stored_bytes,
        cells=CellCounts(total=total, sent=job.sent, same=max(total - job.sent, 0)),
        unreadable=manifest.unreadable_bytes,
        warnings=(published.warning,) if published.warning else (),
        disks=tuple(
            _disk_result(disk, disk_map)
            for disk, disk_map in zip(manifest.disks, maps, strict=True)
        ),
    )


def _publish(
    name: str, machine: Machine, maps: Sequence[DiskMap], sources: Sequence[_Source], job: _Job
) -> tuple[Manifest, Published]:
    """Publish; what the store has lost since it was sent, by a power failure say, is sent again."""
    refused: frozenset[str] = frozenset()
    while True:
        manifest = Manifest(
            name=name,
            cell_size=CELL_SIZE,
            disks=tuple(_disk(disk_map, sources) for disk_map in maps),
            machine=machine,
            agent_version=__version__,
        )
        try:
            with job.meter.phase("publish", 0):
                return manifest, job.store.publish(manifest)
        except ChunksLacking as error:
            if error.digests <= refused:
                raise
            refused |= error.digests
            with job.meter.phase("backup", len(error.digests) * CELL_SIZE):
                job.run(sources, frozenset(map(bytes.fromhex, error.digests)))


def _map_all(
    disks: Sequence[BlockDisk], handles: Sequence[int], options: Options, meter: Meter
) -> list[DiskMap]:
    maps = []
    with meter.phase("map", 0):
        for index, (disk, handle) in enumerate(zip(disks, handles, strict=True)):
            meter.at(f"disk{index}", "")
            maps.append(map_disk(disk, handle, f"disk{index}", options.how))
    maps = settled(maps, options.how.unclean)
    refuse_refused(maps)
    return [surveyed(each, handle, meter) for each, handle in zip(maps, handles, strict=True)]


class _Job:
    """Threads that read, hash, ask, compress and send; each its own batch of cells."""

    def __init__(self, store: Store, meter: Meter, options: Options) -> None:
        self.store = store
        self.meter = meter
        self.level = options.level
        # Those beyond the cores wait for the store; more of them only crowd the caches.
        self.threads = options.threads or min(max(cores(), store.threads), 2 * cores())
        # No more than the store wants: a cell that is packed at once is still in the cache.
        self.batch = max(1, min(store.asked_at_once, _BUFFERS // CELL_SIZE // self.threads))
        self.known: set[bytes] = set()
        self.lock = threading.Lock()
        # One thread reads at a time: a disk serves one long run better than many short ones.
        self.reading = threading.Lock()
        # More threads than cores wait for a server; packing at once, they only evict each other
        # from the caches.
        self.packing = threading.Semaphore(cores())
        self.total = self.sent = 0
        self.aside: list[_Task] = []

    def run(self, sources: Sequence[_Source], again: Container[bytes] | None = None) -> None:
        """Send what the store lacks of all cells, or of those whose digests are named."""
        self.known.clear()
        parallel(self._batches(sources, again), self._worker, self.threads)
        aside, self.aside = self.aside, []
        # One thread: the disk is ill, and the thread that waits for signals stays free.
        parallel(aside, self._rescue_worker, 1)

    def _batches(
        self, sources: Sequence[_Source], again: Container[bytes] | None
    ) -> Generator[list[_Task], None, None]:
        for source in sources:
            batch: list[_Task] = []
            for index, number in enumerate(source.part.used.cells(CELL_SIZE)):
                digest = bytes(source.digests[index * 32 : index * 32 + 32])
                if again is not None and digest not in again:
                    continue
                batch.append(_Task(source, index, number))
                if len(batch) == self.batch:
                    yield batch
                    batch = []
            if batch:
                yield batch

    def _worker(self) -> Callable[[list[_Task]], None]:
        buffers = [aligned_buffer(CELL_SIZE) for _ in range(self.batch)]

        def work(batch: list[_Task]) -> None:
            source = batch[0].source
            self.meter.at(source.map.id, str(source.part.stretch.partition or source.part.content))
            with self.reading:
                filled = [
                    (task, buffers[i])
                    for i, task in enumerate(batch)
                    if self._readable(task, buffers[i])
                ]
            self._keep_all(filled)

        return work

    def _readable(self, task: _Task, buffer: memoryview) -> bool:
        began = time.monotonic()
        try:
            read_cell(task.source.handle, buffer[: task.size], task.offset, task.runs())
        except ReadError as error:
            task.source.rescuer.put_aside(error, time.monotonic() - began)
            self.aside.append(task)
            return False
        except DeviceError as error:
            path = task.source.map.disk.path
            raise DeviceError(f"{path}: {error.message}", error.remedy) from error
        return True

    def _rescue_worker(self) -> Callable[[_Task], None]:
        buffer = memoryview(bytearray(CELL_SIZE))

        def rescue(task: _Task) -> None:
            source, start = task.source, task.number * CELL_SIZE
            self.meter.at(source.map.id, str(source.part.stretch.partition or source.part.content))
            lost = source.rescuer.read_cell(buffer[: task.size], task.offset, task.runs())
            source.unreadable += [(start + a, start + b) for a, b in lost]
            self._keep_all([(task, buffer)])

        return rescue

    def _keep_all(self, filled: Sequence[tuple[_Task, memoryview]]) -> None:
        if filled:
            self._keep(
                [task for task, _ in filled], [buffer[: task.size] for task, buffer in filled]
            )
            self.meter.add(done=sum(b - a for task, _ in filled for a, b in task.runs()))

    def _keep(self, batch: Sequence[_Task], views: Sequence[memoryview]) -> None:
        seals = [seal_of_cell(view) for view in views]
        digests = [digest for digest, _ in seals]
        for task, digest in zip(batch, digests, strict=True):
            task.source.digests[task.index * 32 : task.index * 32 + 32] = bytes.fromhex(digest)
        with self.lock:
            unknown = {each: key for each, key in seals if bytes.fromhex(each) not in self.known}
        lacking = self.store.missing(list(unknown), list(unknown.values())) if unknown else set()
        sent = 0
        for digest, view in zip(digests, views, strict=True):
            if digest in lacking:
                lacking.remove(digest)
                with self.packing:
                    frame = make_frame(view, self.level)
                self.store.put(digest, frame)
                self.meter.add(sent=len(frame))
                sent += 1
        with self.lock:
            self.total += len(batch)
            self.sent += sent
            if len(self.known) < _REMEMBERED:
                self.known.update(bytes.fromhex(each) for each in unknown)


def _disk(disk_map: DiskMap, sources: Sequence[_Source]) -> Disk:
    disk = disk_map.disk
    return Disk(
        id=disk_map.id,
        identity=known_identity(disk),
        size=disk.size,
        logical_sector=disk.logical_sector,
        physical_sector=disk.physical_sector,
        table=disk_map.table,
        segments=tuple(_segment(source) for source in sources if source.map is disk_map),
    )


def _segment(source: _Source) -> Segment:
    stretch, part = source.part.stretch, source.part
    return Segment(
        kind=stretch.kind,
        offset=stretch.offset,
        size=stretch.size,
        used=part.used,
        digests=bytes(source.digests),
        partition=stretch.partition,
        content=part.content,
        method=part.decision.method,
        uuid=part.uuid,
        label=part.label,
        unreadable=Extents.of(source.unreadable),
    )


def _disk_result(disk: Disk, disk_map: DiskMap) -> DiskResult:
    return DiskResult(
        disk=disk.id,
        device=str(disk_map.disk.path),
        partitions=tuple(
            PartitionResult(
                partition=segment.id,
                content=segment.content,
                method=segment.method,
                bytes_used=segment.used.total,
                unreadable=segment.unreadable.total,
            )
            for segment in disk.segments
            if segment.kind == "partition" or segment.unreadable
        ),
    )
