# SPDX-License-Identifier: GPL-3.0-or-later
"""What people say of images beside the inventory: notes and holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from slipway.format.names import ImageRef

from ..base.rows import Rows


@dataclass(frozen=True)
class Label:
    """Of an image (a note alone) or of a version. ``hold``: why it is held; None: it is not."""

    note: str = ""
    hold: str | None = None
    hold_by: str = ""
    hold_at: float = 0.0


_NOTHING = Label()


class Labels:
    """In memory, and on disk before any answer. Reading is safe in threads."""

    def __init__(self, rows: Rows) -> None:
        """Load them; the keys are ``NAME`` and ``NAME@VERSION``."""
        self._rows = rows
        self._labels = {key: Label(**body) for key, body in rows.load().items()}

    def of(self, name: str, version: str | None = None) -> Label:
        """What is said of an image or a version."""
        return self._labels.get(name if version is None else f"{name}@{version}", _NOTHING)

    async def set(self, name: str, version: str | None, label: Label) -> None:
        """Say something else."""
        key = str(ImageRef(name, version))
        if label == _NOTHING:
            self._labels.pop(key, None)
            await self._rows.drop([key])
        else:
            self._labels[key] = label
            await self._rows.put(key, asdict(label))

    async def drop(self, name: str, versions: Iterable[str | None]) -> None:
        """Forget what was said of versions that are gone for good; None: of the image."""
        keys = [key for each in versions if (key := str(ImageRef(name, each))) in self._labels]
        for key in keys:
            del self._labels[key]
        if keys:
            await self._rows.drop(keys)
