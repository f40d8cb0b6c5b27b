"""Making a partition's file system smaller before it is written, for a disk that is smaller.

All of it happens beside the image and before the first write: the file system is shown to its own
tool as a file that is fetched when it is read (`lazy`), and what comes out is a segment like any
other, most of whose cells are still the image's.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from slipway.engine.cells import digest_of_cell
from slipway.engine.content.base import Decision
from slipway.engine.content.registry import open_volume, used_map
from slipway.engine.errors import SlipwayError, TargetRefused, ToolError
from slipway.engine.grow import mounted_unseen
from slipway.engine.lazy import Overlay, free_memory, mounted
from slipway.engine.loop import writable_loop
from slipway.engine.progress import Meter
from slipway.engine.run import PACKAGES, run
from slipway.engine.store import ChunkSource, Problem
from slipway.format import Cell, Disk, Extents, Manifest, Segment, make_frame

# e2fsck: 0 is clean, 1 is mended.
_E2FSCK_OK = (0, 1)
_EXT_LEAST = re.compile(r"minimum size of the filesystem: (\d+)")
_EXT_BLOCK = re.compile(r"^Block size:\s+(\d+)", re.MULTILINE)
_EXT_COUNT = re.compile(r"^Block count:\s+(\d+)", re.MULTILINE)
_NTFS_LEAST = re.compile(r"You might resize at (\d+) bytes")
_NTFS_SIZE = re.compile(r"Current volume size\s*: (\d+) bytes")
_BTRFS_LEAST = re.compile(r"^(\d+) bytes")
# The kernel makes no btrfs smaller than this.
_BTRFS_FLOOR = 256 << 20
_LEVEL = 1
# Bad sectors were those of another disk.
_NTFS_OPTIONS = ("--force", "--force", "--bad-sectors", "--no-progress-bar")


@dataclass(frozen=True)
class Tool:
    """How a kind of file system is made smaller. Sizes in bytes."""

    least: Callable[[Path, int], int]
    """The smallest size that it can have, as its own program says."""
    resize: Callable[[Path, int, int], None]
    """Give it a size.

    The last argument of both is the time to write into it, in seconds since 1970.
    """
    programs: Sequence[str]
    squeeze: Callable[[Path, int], bool] | None = None
    """Move its content together and give it a size below `least`; whether that worked."""
    repeats: bool = True
    """Whether the same bytes come out each time."""


class ReshapedStore:
    """The chunks of an image, and those of its file systems that were made smaller."""

    def __init__(self, store: ChunkSource, manifest: Manifest, meter: Meter) -> None:
        """Nothing is added yet."""
        self._store = store
        self._cell_size = manifest.cell_size
        self._meter = meter
        self._added: dict[str, tuple[Overlay, Segment, Cell]] = {}
        # The same for the same version, so that the same bytes come out.
        self._stamp = int(datetime.fromisoformat(manifest.created).timestamp())
        self.threads = store.threads

    def get(self, digest: str) -> bytes:
        """A chunk's frame."""
        if digest not in self._added:
            return self._store.get(digest)
        overlay, segment, cell = self._added[digest]
        return make_frame(_content(overlay, segment.used, cell, self._cell_size), _LEVEL)

    def prove(self, manifest: Manifest, meter: Meter) -> list[Problem]:
        """Problems of the image's own chunks."""
        return self._store.prove(manifest, meter)

    def shrinker(self, disk: Disk) -> DiskShrinker:
        """What makes partitions of this disk of the image smaller."""
        return DiskShrinker(self, disk)

    def overlay(self, segment: Segment) -> Overlay:
        """A partition's file system, to be changed."""
        return Overlay(segment, self._store, self._cell_size, self._meter)

    @contextmanager
    def at_work(
        self, disk: Disk, part: Segment, overlay: Overlay
    ) -> Generator[tuple[Path, int], None, None]:
        """Its file, and the time to write into it; the errors of tools with their real cause."""
        name = f"{disk.id}:{part.id}"
        # What others hold is no longer free.
        overlay.limit = overlay.held + free_memory()
        try:
            with self._meter.phase("plan", 0), mounted(overlay) as path:
                self._meter.at(disk.id, part.id)
                yield path, self._stamp
        except ToolError as error:
            raise _why(name, part, overlay, error) from error

    def take(self, overlay: Overlay, before: Segment, used: Extents, room: int) -> Segment:
        """The new segment; only cells that are not what they were are looked at."""
        after = replace(
            before,
            size=room,
            used=used,
            digests=b"",
            unreadable=before.unreadable.clip(0, room),
        )
        known = {cell.number: cell for cell in before.cells(self._cell_size)}
        digests, fresh = bytearray(), list[Cell]()
        for number in used.cells(self._cell_size):
            start = number * self._cell_size
            cell = Cell("", number, before.offset + start, min(self._cell_size, room - start))
            old, end = known.get(number), start + cell.size
            if (
                old is not None
                and old.size == cell.size
                and not overlay.touched(start, end)
                and before.used.within(start, end) == used.within(start, end)
            ):
                digests += bytes.fromhex(old.digest)
                continue
            digest = digest_of_cell(_content(overlay, used, cell, self._cell_size))
            digests += bytes.fromhex(digest)
            fresh.append(replace(cell, digest=digest))
        after = replace(after, digests=bytes(digests))
        self._added |= {cell.digest: (overlay, after, cell) for cell in fresh}
        return after


class DiskShrinker:
    """Makes partitions of one disk of an image smaller."""

    def __init__(self, store: ReshapedStore, disk: Disk) -> None:
        """Nothing is looked at yet."""
        self._store = store
        self._disk = disk
        self._overlays: dict[str, Overlay] = {}

    def least(self, segment: Segment, wish: int) -> int:
        """How small its file system can be, in bytes; no more is tried than `wish` takes."""
        tool = _tool_for(segment)
        overlay = self._overlays.setdefault(segment.id, self._store.overlay(segment))
        with self._store.at_work(self._disk, segment, overlay) as (path, stamp):
            least = tool.least(path, stamp)
            if least > wish and tool.squeeze is not None:
                least = wish if tool.squeeze(path, wish) else tool.least(path, stamp)
            return least

    def shrink(self, segment: Segment, room: int) -> Segment:
        """The segment with a file system of `room` bytes, or TargetRefused. Ask `least` before."""
        tool, name = _tool_for(segment), f"{self._disk.id}:{segment.id}"
        sector = self._disk.logical_sector
        overlay = self._overlays[segment.id]
        with self._store.at_work(self._disk, segment, overlay) as (path, stamp):
            tool.resize(path, room, stamp)
            used = _map(name, path, room, sector)
            if not segment.partition:
                # Without a table the first sector is a segment of its own.
                used = used.without(0, sector)
            return self._store.take(overlay, segment, used, room)


def why_not(segment: Segment) -> str:
    """Why a partition's file system can't be made smaller; empty when there is a program."""
    kind = segment.content or "unknown"
    if kind not in _TOOLS:
        return "is of a kind that no program makes smaller"
    if segment.method != "used":
        return "was saved whole, so that nobody knows its state"
    if kind == "ntfs" and not segment.partition:
        return "has no partition table before it"
    return ""


def comes_out_anew(segment: Segment) -> bool:
    """Whether making it smaller once more gives other bytes."""
    return segment.content in _TOOLS and not _TOOLS[segment.content].repeats


def _tool_for(segment: Segment) -> Tool:
    """What makes its file system smaller; its programs are here."""
    tool = _TOOLS[segment.content]
    for program in tool.programs:
        if shutil.which(program) is None:
            raise ToolError(
                f"the program {program} is missing, which makes {segment.content} smaller",
                f"install the package {PACKAGES.get(program, program)}",
            )
    return tool


def _why(name: str, segment: Segment, overlay: Overlay, error: ToolError) -> SlipwayError:
    """What really stopped a program that saw an I/O error or a full disk."""
    if overlay.problem is not None:
        return overlay.problem
    if overlay.full:
        return TargetRefused(
            f"{name} of the image can't be made smaller here: moving its files takes more than "
            f"{overlay.limit} bytes of memory; nothing was written",
            "use a larger disk, or a PC with more memory",
        )
    return TargetRefused(
        f"{name} of the image ({segment.content}) can't be made smaller: {error.message}; "
        "nothing was written",
        "use a larger disk, or make it smaller in the PC's own system and save it again",
    )


def _map(name: str, path: Path, size: int, sector: int) -> Extents:
    """The used map of what the tool left. It is not asked whether it may be saved by its map.

    ntfsresize marks a volume for Windows to check at its next start.
    """
    with open_volume(name, path, 0, size, sector) as volume:
        return used_map(volume, Decision("used"))


def _content(overlay: Overlay, used: Extents, cell: Cell, cell_size: int) -> memoryview:
    """A cell as chunks have it: free bytes are zero."""
    content = memoryview(bytearray(cell.size))
    start = cell.number * cell_size
    for begin, end in used.within(start, start + cell.size):
        content[begin - start : end - start] = overlay.read(begin, end - begin)
    return content


def _number(pattern: re.Pattern[str], text: str, what: str) -> int:
    found = pattern.search(text)
    if found is None:
        raise ToolError(f"{what} does not say how small it can be")
    return int(found[1])


def _at(stamp: int) -> list[str]:
    """Programs of e2fsprogs take this for the time: e2fsck by its own name for it."""
    return ["env", f"E2FSPROGS_FAKE_TIME={stamp}", f"E2FSCK_TIME={stamp}"]


def _ext_least(path: Path, stamp: int) -> int:
    # resize2fs refuses a file system that was not checked since it was last mounted.
    run([*_at(stamp), "e2fsck", "-f", "-p", str(path)], ok=_E2FSCK_OK)
    block = _number(_EXT_BLOCK, run(["dumpe2fs", "-h", str(path)]).stdout, "dumpe2fs")
    return block * _number(_EXT_LEAST, run(["resize2fs", "-P", str(path)]).stdout, "resize2fs")


def _ext_resize(path: Path, size: int, stamp: int) -> None:
    head = run(["dumpe2fs", "-h", str(path)]).stdout
    block = _number(_EXT_BLOCK, head, "dumpe2fs")
    if block * _number(_EXT_COUNT, head, "dumpe2fs") <= size:
        return
    run([*_at(stamp), "resize2fs", str(path), f"{size // 1024}K"])


def _ntfs_info(path: Path) -> str:
    return run(["ntfsresize", "--info", *_NTFS_OPTIONS, str(path)]).stdout


def _ntfs_least(path: Path, stamp: int) -> int:
    text = _ntfs_info(path)
    if "NTFS is full" in text or not _NTFS_LEAST.search(text):
        return _number(_NTFS_SIZE, text, "ntfsresize")
    return _number(_NTFS_LEAST, text, "ntfsresize")


def _ntfs_resize(path: Path, size: int, stamp: int) -> None:
    # It asks before it begins, and marks the volume for Windows to check at its next start.
    run(["ntfsresize", *_NTFS_OPTIONS, "--size", str(size), str(path)])


@contextmanager
def _btrfs(path: Path, options: str) -> Generator[Path, None, None]:
    # Linux 6.1 mounts no twin of what it has seen: the same file system may be on the target.
    run(["btrfs", "device", "scan", "--forget"], ok=None)
    with (
        writable_loop(path, 0, path.stat().st_size, 512) as device,
        mounted_unseen(device, "btrfs", options) as point,
    ):
        yield point


def _btrfs_least(path: Path, stamp: int) -> int:
    with _btrfs(path, "ro") as point:
        said = run(["btrfs", "inspect-internal", "min-dev-size", str(point)]).stdout
    return max(_number(_BTRFS_LEAST, said, "btrfs"), _BTRFS_FLOOR)


def _btrfs_squeeze(path: Path, size: int) -> bool:
    # Chunks that are almost full would give little, and moving them takes memory. What btrfs says
    # that it needs is on the safe side: the kernel knows whether it works.
    with _btrfs(path, "defaults") as point:
        run(["btrfs", "balance", "start", "-dusage=80", "-musage=80", str(point)])
        resize = ["btrfs", "filesystem", "resize", str(size), str(point)]
        return size >= _BTRFS_FLOOR and run(resize, ok=None).code == 0


def _btrfs_resize(path: Path, size: int, stamp: int) -> None:
    with _btrfs(path, "defaults") as point:
        run(["btrfs", "filesystem", "resize", str(size), str(point)])


_EXT = Tool(_ext_least, _ext_resize, ("e2fsck", "resize2fs", "dumpe2fs"))
_TOOLS = {
    "ext2": _EXT,
    "ext3": _EXT,
    "ext4": _EXT,
    "ntfs": Tool(_ntfs_least, _ntfs_resize, ("ntfsresize",)),
    "btrfs": Tool(_btrfs_least, _btrfs_resize, ("btrfs", "mount"), _btrfs_squeeze, repeats=False),
}
