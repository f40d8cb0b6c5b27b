# SPDX-License-Identifier: GPL-3.0-or-later
"""Which chunks of each version are missing or bad, as far as is known without reading them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from slipway.format.manifest import Manifest

from .memory import Health, Memory
from .store import ChunkStore
from .touched import Touched


@dataclass(frozen=True)
class State:
    """What is known of a version."""

    lacking: int
    # Bytes of chunk files that no other version names, as the last collection counted them.
    own: int | None
    # Seconds since the epoch: since then each of its chunks was read and found sound.
    checked: float | None


class Healths:
    """All methods block; callers run them in a thread."""

    def __init__(self, store: ChunkStore, memory: Memory, touched: Touched) -> None:
        """What is known is kept in the memory."""
        self._store = store
        self._memory = memory
        self._touched = touched

    def of_image(self, name: str) -> dict[str, Health]:
        """What is noted of each version of an image."""
        return self._memory.healths(name)

    def state(self, noted: Health, all_read: float) -> State:
        """How a version is now: what was lacking may have been sent again.

        ``all_read``: since then every chunk of the store was read.
        """
        lacking = sum(not self._store.is_sound(digest) for digest in noted.lacking)
        checked = max(noted.checked or 0.0, all_read) or None
        return State(
            lacking + (noted.more if lacking else 0), noted.own, None if lacking else checked
        )

    def lacking(self, manifest: Manifest) -> list[str]:
        """Look for every chunk of a version; those that are missing or known to be bad."""
        return [each for each in set(manifest.digests()) if not self._store.is_sound(each)]

    def survey(self, name: str, version: str, manifest: Manifest) -> Health:
        """Look for every chunk of a version, and note what is lacking."""
        lacking = self.lacking(manifest)
        self.note(name, version, lacking)
        # A full disk takes no note.
        return self.of_image(name).get(version, Health(tuple(lacking)))

    def note(self, name: str, version: str, lacking: Iterable[str]) -> None:
        """Note what a version lacks."""
        self._memory.note_lacking(name, [(version, list(lacking))])
        self._touched.add(name)

    def note_checked(self, name: str, version: str, at: float, lacking: Iterable[str]) -> None:
        """Note that every chunk of a version was read, and which were not sound."""
        self.note(name, version, lacking)
        self._memory.note_checked(name, version, at)

    def note_own(self, own: Mapping[tuple[str, str], int]) -> None:
        """Note how many bytes each version has alone."""
        self._memory.note_own((*version, size) for version, size in own.items())
