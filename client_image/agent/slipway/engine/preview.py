# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup would do with each partition of a disk, for people to read."""

from __future__ import annotations

from dataclasses import dataclass

from slipway.engine.mapping import DiskMap, Mapped, volume_id


@dataclass(frozen=True)
class Preview:
    """One partition. All was looked at that a backup looks at before it reads the content."""

    partition: str
    offset: int
    size: int
    content: str
    method: str
    """`refused` when a backup would stop here; `reason` and `remedy` then say why."""
    reason: str = ""
    remedy: str = ""
    uuid: str = ""
    label: str = ""


def previews(disk_map: DiskMap) -> tuple[Preview, ...]:
    """The partitions of a disk, in the order of their offsets."""
    return tuple(
        _preview(disk_map, part) for part in disk_map.parts if part.stretch.kind == "partition"
    )


def _preview(disk_map: DiskMap, part: Mapped) -> Preview:
    name = volume_id(disk_map.id, part.stretch.partition)
    error, decision = part.error, part.decision
    return Preview(
        partition=name.partition(":")[2],
        offset=part.stretch.offset,
        size=part.stretch.size,
        content=part.content,
        method="refused" if error is not None else decision.method,
        reason=error.message if error is not None else decision.reason,
        remedy=error.remedy if error is not None else "",
        uuid=part.uuid,
        label=part.label,
    )
