# SPDX-License-Identifier: GPL-3.0-or-later
"""What a version holds, partition by partition, and who names it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from slipway.format.errors import FormatError
from slipway.format.manifest import Disk, Segment, TablePartition

from ..base.errors import ServiceError
from .aliases import Alias
from .catalog import Named
from .images import Images
from .store import ChunkStore

_KEEP = 64
# Looking for more chunks than that takes longer than somebody waits.
_MOST_CHUNKS = 1_000_000


class Contents:
    """All methods block; callers run them in a thread. A version never changes: it is read once."""

    def __init__(self, images: Images, store: ChunkStore) -> None:
        """Nothing is read yet."""
        self._images = images
        self._store = store
        self._known: OrderedDict[tuple[str, str], list[dict[str, Any]]] = OrderedDict()

    def of(self, name: str, version: str) -> list[dict[str, Any]]:
        """The disks of a version with their partitions."""
        key = name, version
        if (found := self._known.get(key)) is None:
            found = self._read(name, version)
            self._known[key] = found
            while len(self._known) > _KEEP:
                self._known.popitem(last=False)
        return found

    def _read(self, name: str, version: str) -> list[dict[str, Any]]:
        try:
            manifest = self._images.manifest(name, version)
        except (FormatError, MemoryError) as error:
            raise ServiceError(
                "store_failed", f"The manifest of {name}@{version} is damaged: {error}."
            ) from error
        counted = manifest.cell_count <= _MOST_CHUNKS
        return [
            {
                "id": disk.id,
                "table": disk.table.kind,
                "model": disk.identity.model,
                "serial": disk.identity.serial,
                "size": disk.size,
                "used": disk.used_bytes,
                "partitions": list(self._partitions(disk, counted)),
            }
            for disk in manifest.disks
        ]

    def _partitions(self, disk: Disk, counted: bool) -> Iterator[dict[str, Any]]:
        lines = {line.number: line for line in disk.table.partitions}
        for segment in disk.segments:
            if segment.kind == "partition":
                line = lines.get(segment.partition or 0)
                yield self._partition(disk, segment, line, counted)

    def _partition(
        self, disk: Disk, segment: Segment, line: TablePartition | None, counted: bool
    ) -> dict[str, Any]:
        return {
            "id": f"{disk.id}:{segment.id}",
            "type": line.type if line else "",
            "name": segment.label or (line.name if line else ""),
            "content": segment.content,
            "method": segment.method,
            "size": segment.size,
            "used": segment.used.total,
            "stored": self._stored(segment.digests) if counted else None,
            "unreadable": segment.unreadable.total,
        }

    def _stored(self, digests: bytes) -> int:
        """Bytes of the chunk files, each once; one that is missing has none."""
        names = {digests[start : start + 32] for start in range(0, len(digests), 32)}
        found = (self._store.fingerprint(name.hex()) for name in names)
        return sum(each.size for each in found if each is not None)


def names_of(
    named: Named, aliases: Mapping[str, Alias], name: str, version: str
) -> list[dict[str, Any]]:
    """Who names a version or its image, by itself or by an alias, in words."""
    found = [
        {"by": who, "exactly": key is not None}
        for key in (version, None)
        for who in named.get((name, key), ())
    ]
    for alias, each in aliases.items():
        if each.target.name == name and each.target.version in (None, version):
            exactly = each.target.version is not None
            found.append({"by": f"alias {alias}", "exactly": exactly})
            found += [
                {"by": f"{who}, by alias {alias}", "exactly": exactly}
                for who in named.get((alias, None), ())
            ]
    return found
