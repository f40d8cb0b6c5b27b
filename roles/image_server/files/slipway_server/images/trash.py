# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions that were deleted: ``trash/<name>/<version>.json``, with who, when and why beside it.

A version here is still whole: its chunks are kept, and its name is not given again.
"""

from __future__ import annotations

import errno
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slipway.format.names import is_name, version_key

from ..base import files
from .folders import versions_in


@dataclass(frozen=True)
class Deletion:
    """Who deleted a version, when (seconds since the epoch) and why."""

    at: float
    by: str
    why: str = ""


class Trash:
    """All methods block; callers run them in a thread, and hold `Images.moving` for changes."""

    def __init__(self, store: Path) -> None:
        """Make the folder if need be."""
        self.root = store / "trash"
        self._tmp = store / "tmp"
        self.root.mkdir(mode=0o750, exist_ok=True)

    def path(self, name: str, version: str) -> Path:
        """Where a deleted version's manifest lies."""
        return self.root / name / f"{version}.json"

    def _why(self, name: str, version: str) -> Path:
        return self.root / name / f"{version}.why"

    def versions(self, name: str) -> list[str]:
        """The deleted versions of an image, newest last."""
        return versions_in(self.root / name)

    def names(self) -> list[str]:
        """Images that have a deleted version."""
        found = sorted(each.name for each in self.root.iterdir() if is_name(each.name))
        return [name for name in found if self.versions(name)]

    def all(self) -> list[tuple[str, str, Deletion]]:
        """Every deleted version, by name, newest first."""
        return [
            (name, version, self.deletion(name, version))
            for name in self.names()
            for version in sorted(self.versions(name), key=version_key, reverse=True)
        ]

    def deletion(self, name: str, version: str) -> Deletion:
        """Who deleted a version; where that was lost, when alone is known."""
        try:
            said: dict[str, Any] = json.loads(self._why(name, version).read_bytes())
            return Deletion(float(said["at"]), str(said["by"]), str(said["why"]))
        except (OSError, ValueError, KeyError, TypeError):
            with suppress(FileNotFoundError):
                return Deletion(self.path(name, version).stat().st_ctime, "")
            return Deletion(0.0, "")

    def take(self, manifest: Path, name: str, version: str, deletion: Deletion) -> None:
        """Move a version's manifest here; a crash leaves it there or here."""
        final = self.path(name, version)
        if not final.parent.exists():
            final.parent.mkdir(mode=0o750, exist_ok=True)
            files.sync_folder(self.root)
        try:
            said = json.dumps(asdict(deletion)).encode()
            files.write_durably(self._tmp, said, self._why(name, version))
        except OSError as error:
            # On a full disk deleting must still be possible.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
        manifest.rename(final)
        files.sync_folder(final.parent)
        files.sync_folder(manifest.parent)

    def give_back(self, name: str, version: str, manifest: Path) -> None:
        """Move a version's manifest back to where it was."""
        manifest.parent.mkdir(mode=0o750, exist_ok=True)
        files.sync_folder(manifest.parent.parent)
        # Nothing is replaced: `link` refuses a name that is taken.
        if not (manifest.exists() and manifest.samefile(self.path(name, version))):
            manifest.hardlink_to(self.path(name, version))
        files.sync_folder(manifest.parent)
        self.remove(name, version)

    def remove(self, name: str, version: str) -> None:
        """Remove a version for good; its chunks go with a later collection."""
        self.path(name, version).unlink(missing_ok=True)
        self._why(name, version).unlink(missing_ok=True)
        with suppress(OSError):
            self.path(name, version).parent.rmdir()
        files.sync_folder(self.root)
