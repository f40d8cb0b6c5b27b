# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: manifests under ``images/<name>/<version>.json``, lists of them, and publishing."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway.format.codec import MAX_MANIFEST, parse
from slipway.format.errors import FormatError
from slipway.format.manifest import Manifest
from slipway.format.names import ImageRef, is_ahead, is_name

from ..base import files
from ..base.errors import ServiceError
from ..base.times import iso
from .folders import manifests_in, versions_in
from .health import Healths
from .memory import Health, Lacking, Memory, Summary
from .offer import Offer
from .store import ChunkStore, Fingerprint
from .trash import Trash

log = logging.getLogger(__name__)

# How many summaries one commit keeps: a commit for each took a minute for 20,000 versions.
_SUMMARIES_AT_ONCE = 1000


class Images:
    """All methods block; callers run them in a thread."""

    def __init__(self, store: ChunkStore, memory: Memory) -> None:
        """Work on the folder ``images`` of the store."""
        self._root = store.root / "images"
        self._store = store
        self._memory = memory
        self.tmp = store.tmp
        self.trash = Trash(store.root)
        self.healths = Healths(store, memory)
        # What a name that no image has stands for: `Aliases.target`.
        self.alias: Callable[[str], ImageRef | None] = lambda _: None
        # Held while a manifest comes, goes or moves, and while all are listed.
        self.moving = threading.Lock()
        # A large one takes several times its size in memory while it is read: one at a time.
        self.reading = threading.Lock()

    def path(self, name: str, version: str) -> Path:
        """Where a version's manifest lies. Both parts were checked before."""
        return self._root / name / f"{version}.json"

    def names(self) -> list[str]:
        """All images that have a version."""
        return [name for name in self.folders() if self.versions(name)]

    def folders(self) -> list[str]:
        """All images, those among them that lost their last version."""
        return sorted(entry.name for entry in self._root.iterdir() if is_name(entry.name))

    def versions(self, name: str) -> list[str]:
        """All versions of an image, newest last."""
        return versions_in(self._root / name)

    def taken(self, name: str) -> set[str]:
        """Versions that no new one of the image may be called, the deleted ones among them."""
        return {*self.versions(name), *self.trash.versions(name)}

    def all_manifests(self) -> list[Path]:
        """The files of every version that is there or in the trash, at one moment."""
        with self.moving:
            return manifests_in(self._root) + manifests_in(self.trash.root)

    def find(self, name: str, version: str | None) -> tuple[str, str]:
        """The concrete version that a name, be it an alias, and perhaps a version mean."""
        if (target := self._target(name, version)) is not None:
            return target.name, self.resolve(target.name, target.version)
        return name, self.resolve(name, version)

    def _target(self, name: str, version: str | None) -> ImageRef | None:
        """What an alias stands for; None: the name is none."""
        if self.versions(name) or (target := self.alias(name)) is None:
            return None
        if version is not None:
            raise ServiceError(
                "is_alias", f"{name} is an alias of {target}: it has no versions of its own."
            )
        return target

    def refuse_alias(self, name: str) -> None:
        """Refuse a name that a backup can't be kept by."""
        # An image is no alias, and a policy that can't be used keeps nobody from a backup.
        if self.versions(name):
            return
        try:
            target = self.alias(name)
        except ServiceError as error:
            log.warning("%s", error.message)
            return
        if target is not None:
            raise ServiceError(
                "is_alias", f"{name} is an alias of {target}: a backup takes the name of an image."
            )

    def resolve(self, name: str, version: str | None) -> str:
        """The concrete version; None means the newest."""
        versions = self.versions(name)
        if not versions:
            there = ", ".join(self.names()[:20]) or "none"
            raise ServiceError(
                "unknown_image",
                f"There is no image {name}. Images on this server: {there}.",
            )
        if version is None:
            return versions[-1]
        if version not in versions:
            raise ServiceError(
                "unknown_version",
                f"Image {name} has no version {version}. "
                f"It has: {', '.join(reversed(versions[-20:]))}.",
            )
        return version

    def read(self, name: str, version: str) -> bytes:
        """A version's manifest as it was published; of a longer file only more than is parsed."""
        try:
            return _read(self.path(name, version))
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                # Says what there is instead. Not asked beforehand: an image may have thousands.
                self.resolve(name, version)
            raise ServiceError(
                "store_failed", f"The manifest of {name}@{version} can't be read: {error.strerror}."
            ) from error

    def manifest(self, name: str, version: str) -> Manifest:
        """A version's manifest, parsed. FormatError if the file was damaged."""
        with self.reading:
            return parse(self.read(name, version))

    def survey(self, name: str, version: str) -> Health:
        """Look for every chunk of a version; one whose manifest is damaged lacks none."""
        try:
            return self.healths.survey(name, version, self.manifest(name, version))
        except (FormatError, ServiceError, MemoryError):
            return Health()

    def publish(self, offer: Offer, version: str, created: str = "") -> None:
        """Make the version exist. A retry of a publish that succeeded changes nothing.

        Without ``created`` it was made now.
        """
        stored, missing = 0, []
        for digest in offer.digests():
            size = self._store.size_if_kept(digest)
            if size is None:
                missing.append(digest)
            else:
                stored += size
        if missing:
            raise ServiceError(
                "missing_chunks",
                f"The manifest names {len(missing)} chunks that the store does not have.",
                missing=sorted(missing)[:4096],
            )
        self._store.sync()
        self.healths.note(offer.name, version, [])
        data = offer.stamped(version, created or iso(time.time()), stored)
        try:
            files.create_durably(self._store.tmp, data, self.path(offer.name, version))
        except FileExistsError:
            return
        except OSError as error:
            raise files.as_service_error(error, "The manifest") from error

    def summaries(self, name: str) -> list[dict[str, Any]]:
        """What a list shows of every version of an image, newest first."""
        now = datetime.now(UTC)
        shown: list[dict[str, Any]] = []
        new: list[Summary] = []
        lacking: list[Lacking] = []
        kept = self._memory.summaries(name)
        for version in reversed(self.versions(name)):
            with suppress(FileNotFoundError):  # deleted meanwhile
                found = self._summary(name, version, kept.get(version), new, lacking)
                shown.append(found | {"ahead": is_ahead(version, now)})
            if len(new) >= _SUMMARIES_AT_ONCE:
                self._memory.keep_summaries(name, new, lacking)
                new.clear()
                lacking.clear()
        if new:
            self._memory.keep_summaries(name, new, lacking)
        return shown

    def _summary(
        self,
        name: str,
        version: str,
        kept: tuple[int, int, str] | None,
        new: list[Summary],
        lacking: list[Lacking],
    ) -> dict[str, Any]:
        """One version's, ``kept`` or read; what had to be read for it is added to the lists."""
        # As text: of thousands, objects for their paths would take a third of the time.
        found = os.stat(f"{self._root}/{name}/{version}.json")  # noqa: PTH116
        if kept is not None and kept[:2] == (found.st_size, found.st_mtime_ns):
            body: dict[str, Any] = json.loads(kept[2])
            # One that an older release kept may say less.
            if body.keys() == _KEYS:
                return body
        fingerprint = Fingerprint(found.st_size, found.st_mtime_ns, found.st_ino)
        try:
            with self.reading:
                manifest = parse(_read(self.path(name, version)))
            body = _summarize(version, manifest)
            lacks = self.healths.lacking(manifest)
        except (FormatError, MemoryError) as error:
            return _damaged(version, found.st_mtime, str(error) or "it takes too much memory")
        except OSError as error:
            return _damaged(version, found.st_mtime, f"it can't be read: {error.strerror}")
        new.append((version, fingerprint, body))
        lacking.append((version, lacks))
        return body


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_MANIFEST + 1)


def _summarize(version: str, manifest: Manifest) -> dict[str, Any]:
    return {
        "version": version,
        "created": manifest.created,
        "bytes": manifest.used_bytes,
        "stored": manifest.stored_bytes,
        "unreadable": manifest.unreadable_bytes,
        "degraded": manifest.unreadable_bytes > 0,
        "machine": manifest.machine.name,
        "agent_version": manifest.agent_version,
        "disks": [
            {
                "id": disk.id,
                "size": disk.size,
                "bytes": disk.used_bytes,
                "model": disk.identity.model,
                "serial": disk.identity.serial,
            }
            for disk in manifest.disks
        ],
        "problem": None,
    }


def _damaged(version: str, mtime: float, problem: str) -> dict[str, Any]:
    return {
        "version": version,
        "created": iso(mtime),
        "bytes": 0,
        "stored": 0,
        "unreadable": 0,
        "degraded": False,
        "machine": "",
        "agent_version": "",
        "disks": [],
        "problem": f"The manifest is damaged: {problem}.",
    }


_KEYS = _damaged("", 0, "").keys()
