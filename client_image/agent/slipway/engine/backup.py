"""Backup: map the disks, send the cells that the store lacks, publish the version."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from slipway import __version__
from slipway.engine.cells import read_cell
from slipway.engine.devices import BlockDisk, open_read_only
from slipway.engine.errors import DeviceError
from slipway.engine.mapping import DiskMap, Mapped, known_identity, map_disk
from slipway.engine.parallel import cores, parallel
from slipway.engine.progress import Meter
from slipway.engine.result import CellCounts, DiskResult, PartitionResult, Result
from slipway.engine.store import Store
from slipway.format import Disk, Machine, Manifest, Segment, digest_of, make_frame

CELL_SIZE = 2 << 20
_BATCH = 8
_BUFFERS = 96 << 20
# A set of this many digests takes about 30 MB; beyond it the store is asked again.
_REMEMBERED = 200_000


@dataclass(frozen=True)
class Options:
    """How to save."""

    level: int = 3
    threads: int = 0
    whole: Collection[str] = ()
    """Volume ids, as `disk0:2`."""


@dataclass
class _Source:
    """One stretch on its way into a segment."""

    map: DiskMap
    part: Mapped
    handle: int
    digests: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.digests = bytearray(32 * self.part.used.count_cells(CELL_SIZE))


@dataclass(frozen=True)
class _Task:
    """One cell to read."""

    source: _Source
    index: int
    number: int


def backup(
    disks: Sequence[BlockDisk],
    name: str,
    store: Store,
    meter: Meter,
    machine: Machine,
    options: Options,
) -> Result:
    """Save the disks as a new version of image `name`."""
    with ExitStack() as stack:
        handles = [stack.enter_context(open_read_only(disk)) for disk in disks]
        maps = _map_all(disks, handles, options.whole, meter)
        sources = [
            _Source(disk_map, part, handle)
            for disk_map, handle in zip(maps, handles, strict=True)
            for part in disk_map.parts
        ]
        job = _Job(store, meter, options)
        with meter.phase("backup", sum(disk_map.used_bytes for disk_map in maps)):
            job.run(sources)
    manifest = Manifest(
        name=name,
        cell_size=CELL_SIZE,
        disks=tuple(_disk(disk_map, sources) for disk_map in maps),
        machine=machine,
        agent_version=__version__,
    )
    with meter.phase("publish", 0):
        published = store.publish(manifest)
    return Result(
        verb="backup",
        changed=True,
        image=name,
        version=published.version,
        read=manifest.used_bytes,
        sent=meter.sent,
        written=0,
        stored=published.stored_bytes,
        cells=CellCounts(total=job.total, sent=job.sent, same=job.total - job.sent),
        disks=tuple(_disk_result(disk_map) for disk_map in maps),
    )


def _map_all(
    disks: Sequence[BlockDisk], handles: Sequence[int], whole: Collection[str], meter: Meter
) -> list[DiskMap]:
    maps = []
    with meter.phase("map", 0):
        for index, (disk, handle) in enumerate(zip(disks, handles, strict=True)):
            meter.at(f"disk{index}", "")
            maps.append(map_disk(disk, handle, f"disk{index}", whole))
    return maps


class _Job:
    """Threads that read, hash, ask, compress and send; each its own batch of cells."""

    def __init__(self, store: Store, meter: Meter, options: Options) -> None:
        self.store = store
        self.meter = meter
        self.level = options.level
        self.threads = options.threads or max(cores(), store.threads)
        self.batch = max(1, min(_BATCH, _BUFFERS // CELL_SIZE // self.threads))
        self.known: set[bytes] = set()
        self.lock = threading.Lock()
        # One thread reads at a time: a disk serves one long run better than many short ones.
        self.reading = threading.Lock()
        self.total = self.sent = 0

    def run(self, sources: Sequence[_Source]) -> None:
        parallel(self._batches(sources), self._worker, self.threads)

    def _batches(self, sources: Sequence[_Source]) -> Generator[list[_Task], None, None]:
        for source in sources:
            batch: list[_Task] = []
            for index, number in enumerate(source.part.used.cells(CELL_SIZE)):
                batch.append(_Task(source, index, number))
                if len(batch) == self.batch:
                    yield batch
                    batch = []
            if batch:
                yield batch

    def _worker(self) -> Callable[[list[_Task]], None]:
        buffers = [memoryview(bytearray(CELL_SIZE)) for _ in range(self.batch)]

        def work(batch: list[_Task]) -> None:
            source = batch[0].source
            self.meter.at(source.map.id, str(source.part.stretch.partition or source.part.content))
            with self.reading:
                filled = [_read(task, buffers[i]) for i, task in enumerate(batch)]
            self._keep(batch, [view for view, _ in filled])
            self.meter.add(done=sum(used for _, used in filled))

        return work

    def _keep(self, batch: Sequence[_Task], views: Sequence[memoryview]) -> None:
        digests = [digest_of(view) for view in views]
        for task, digest in zip(batch, digests, strict=True):
            task.source.digests[task.index * 32 : task.index * 32 + 32] = bytes.fromhex(digest)
        with self.lock:
            unknown = {each for each in digests if bytes.fromhex(each) not in self.known}
        lacking = self.store.missing(sorted(unknown)) if unknown else set()
        sent = 0
        for digest, view in zip(digests, views, strict=True):
            if digest in lacking:
                lacking.remove(digest)
                frame = make_frame(view, self.level)
                self.store.put(digest, frame)
                self.meter.add(sent=len(frame))
                sent += 1
        with self.lock:
            self.total += len(batch)
            self.sent += sent
            if len(self.known) < _REMEMBERED:
                self.known.update(bytes.fromhex(each) for each in unknown)


def _read(task: _Task, buffer: memoryview) -> tuple[memoryview, int]:
    """A cell's content and how many of its bytes are used."""
    stretch, used = task.source.part.stretch, task.source.part.used
    start = task.number * CELL_SIZE
    size = min(CELL_SIZE, stretch.size - start)
    runs = [(a - start, b - start) for a, b in used.within(start, start + size)]
    try:
        read_cell(task.source.handle, buffer[:size], stretch.offset + start, runs)
    except DeviceError as error:
        path = task.source.map.disk.path
        raise DeviceError(f"{path}: {error.message}", error.remedy) from error
    return buffer[:size], sum(b - a for a, b in runs)


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
    )


def _disk_result(disk_map: DiskMap) -> DiskResult:
    return DiskResult(
        disk=disk_map.id,
        device=str(disk_map.disk.path),
        partitions=tuple(
            PartitionResult(
                partition=str(part.stretch.partition or "disk"),
                content=part.content,
                method=part.decision.method,
                bytes_used=part.used.total,
            )
            for part in disk_map.parts
            if part.stretch.kind == "partition"
        ),
    )
