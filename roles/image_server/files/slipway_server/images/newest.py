# SPDX-License-Identifier: GPL-3.0-or-later
"""The newest good version of each machine, whatever its image is called, and what is broken.

A list of two thousand machines can't ask twenty thousand manifests each time. What is known of an
image is kept until something of it changes; what is changed by hand, past this service, is seen
after a while. What the first look has not come to yet is left out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from slipway.format.names import version_key

from .catalog import Catalog
from .images import Images

# Seconds until the folders are looked at for what others did there.
_LOOK_SECONDS = 30.0


@dataclass(frozen=True)
class Newest:
    """A version; ``created`` as its manifest says it."""

    image: str
    version: str
    created: str


class First(NamedTuple):
    """The newest version of an image, good or not."""

    version: str
    created: str
    bytes: int
    good: bool
    degraded: bool


@dataclass(frozen=True)
class Summary:
    """An image. ``broken``: versions, the problem of each manifest, how many chunks each lacks.

    ``stored``: bytes of its chunk files, those of several versions as often.
    """

    versions: int
    first: First
    stored: int
    newest: Mapping[str, Newest]
    broken: Sequence[tuple[str, str | None, int]]


class NewestGood:
    """All methods block; callers run them in a thread."""

    def __init__(
        self, images: Images, catalog: Catalog, unread: Callable[[], frozenset[str]]
    ) -> None:
        """Nothing is known yet."""
        self._unread = unread
        self._images = images
        self._catalog = catalog
        self._lock = threading.Lock()
        self._of_image: dict[str, Summary] = {}
        self._of_machine: dict[str, Newest] = {}
        # Of images that lack chunks, which may be sent at any time.
        self._unsure: set[str] = set()
        self._folders: dict[str, int] = {}
        self._look_at = 0.0

    def of_machines(self) -> Mapping[str, Newest]:
        """By machine, as it is now; not to be changed by who gets it."""
        with self._lock:
            self._refresh()
            return self._of_machine

    def images(self, wanted: Callable[[str], bool]) -> dict[str, Summary]:
        """Images by name, as they are now."""
        with self._lock:
            self._refresh()
            return {name: each for name, each in self._of_image.items() if wanted(name)}

    def _refresh(self) -> None:
        """Who comes meanwhile waits for it: he must not see what was before."""
        changed = self._images.touched.take() | self._unsure
        if time.monotonic() >= self._look_at:
            changed |= self._changed_folders()
            self._look_at = time.monotonic() + _LOOK_SECONDS
        later = changed & self._unread()
        for name in later:
            self._images.touched.add(name)
        changed -= later
        if not changed:
            return
        try:
            self._read(changed)
        except BaseException:
            for name in changed:
                self._images.touched.add(name)
            raise

    def _changed_folders(self) -> set[str]:
        found = {name: self._images.changed_at(name) for name in self._images.folders()}
        changed = {name for name, at in found.items() if self._folders.get(name) != at}
        changed |= self._folders.keys() - found.keys()
        self._folders = found
        return changed

    def _read(self, names: set[str]) -> None:
        for name in names:
            newest: dict[str, Newest] = {}
            versions, stored, broken, first = 0, 0, [], None
            self._unsure.discard(name)
            for summary, state, good in self._catalog.states(name):
                versions, stored = versions + 1, stored + summary["stored"]
                first = first or _first(summary, good)
                if state.lacking:
                    self._unsure.add(name)
                if state.lacking or summary["problem"]:
                    broken.append((summary["version"], summary["problem"], state.lacking))
                machine = summary["machine"] or name
                # They come newest first.
                if good and machine not in newest:
                    newest[machine] = Newest(name, summary["version"], summary["created"])
            if first is None:
                self._of_image.pop(name, None)
            else:
                self._of_image[name] = Summary(versions, first, stored, newest, broken)
        self._of_machine = self._merged()

    def _merged(self) -> dict[str, Newest]:
        merged: dict[str, Newest] = {}
        for image in self._of_image.values():
            for machine, each in image.newest.items():
                before = merged.get(machine)
                if before is None or version_key(before.version) < version_key(each.version):
                    merged[machine] = each
        return merged


def _first(summary: Mapping[str, Any], good: bool) -> First:
    said = {key: summary[key] for key in ("version", "created", "bytes", "degraded")}
    return First(good=good, **said)
