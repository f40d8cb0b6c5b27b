"""What differs between disks and an image, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._progress import number, place, size


def sentences(record: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each partition that differs.

    For example ``/dev/sda disk0:1 (ext4): 65.5 kB in 1 cell differ from pc1@20260131T235959Z``.
    """
    image = reference(record)
    return [f"{name}: {how_much} from {image}" for name, how_much in _parts(record)]


def diffs(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the parts that differ as Ansible shows them in diff mode."""
    image = reference(record)
    return [
        {
            "before_header": name,
            "after_header": f"{name} as in {image}",
            "before": f"{how_much} from {image}\n",
            "after": f"as in {image}\n",
        }
        for name, how_much in _parts(record)
    ]


def reference(record: Mapping[str, Any]) -> str:
    """Return the version that a record is about."""
    return f"{clean(record.get('image', 'image'), 80)}@{clean(record.get('version', '?'), 30)}"


def _parts(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for disk in _objects(record.get("disks")):
        device = clean(disk.get("device") or disk.get("disk") or "disk", 60)
        for part in _objects(disk.get("partitions")):
            cells, count = int(number(part, "differing_cells")), number(part, "differs")
            foreign = [clean(kind, 40) for kind in _list(part.get("foreign"))]
            if not cells and not count and not foreign:
                continue
            name = f"{device} {place(part, disk.get('disk'))}"
            if content := clean(part.get("content") or "", 40):
                name = f"{name} ({content})"
            if cells or count:
                yield name, f"{size(count)} in {cells} {'cell' if cells == 1 else 'cells'} differ"
            if foreign:
                yield name, f"marks of {', '.join(foreign)} beside the image's data differ"


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _objects(value: object) -> list[Mapping[str, Any]]:
    """Return the objects of a list; a machine may have said anything."""
    return [item for item in _list(value) if isinstance(item, Mapping)]
