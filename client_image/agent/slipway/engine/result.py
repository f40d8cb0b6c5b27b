"""What a verb did, as the last line of `--json` says it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class CellCounts:
    """How many cells were touched, and how."""

    total: int = 0
    sent: int = 0
    written: int = 0
    same: int = 0


@dataclass(frozen=True)
class PartitionResult:
    """One partition, or one table segment."""

    partition: str
    content: str
    method: str
    bytes_used: int
    differs: int = 0
    """Used bytes of the cells that differ from the image."""
    differing_cells: int = 0
    unreadable: int = 0
    """Used bytes that the source disk did not give when the image was made: they are zero."""
    foreign: tuple[str, ...] = ()
    """What else the target would be taken for: marks of other systems beside the image's data."""


@dataclass(frozen=True)
class DiskResult:
    """One disk."""

    disk: str
    device: str
    partitions: tuple[PartitionResult, ...] = ()


@dataclass(frozen=True)
class BootEntryResult:
    """A UEFI boot entry that the image wants."""

    label: str
    loader: str
    state: Literal["present", "created", "missing", "failed"]
    problem: str = ""


@dataclass(frozen=True)
class Result:
    """The end of a verb that succeeded. All amounts are bytes."""

    verb: str
    changed: bool
    image: str
    version: str
    read: int = 0
    sent: int = 0
    written: int = 0
    stored: int = 0
    """Size of the version's chunks in the store."""
    cells: CellCounts = field(default_factory=CellCounts)
    seconds: float = 0.0
    unreadable: int = 0
    """Bytes that the version lacks because its source disk could not read them."""
    disks: tuple[DiskResult, ...] = ()
    boot_entries: tuple[BootEntryResult, ...] = ()
    warnings: tuple[str, ...] = ()
    """Each is a line of its own, ahead of the result."""

    @property
    def degraded(self) -> bool:
        """Whether the version lacks anything."""
        return self.unreadable > 0

    def to_json(self) -> dict[str, Any]:
        """The result as `--json` prints it."""
        facts = asdict(self)
        del facts["warnings"]
        return {"type": "result"} | facts | {"degraded": self.degraded}
