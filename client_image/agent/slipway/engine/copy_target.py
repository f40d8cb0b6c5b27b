# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder store that takes versions of another store, under the names that they have there."""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from slipway.engine.errors import NotFound, StoreRefused
from slipway.engine.folder_store import FolderStore
from slipway.engine.store_files import storage_errors, sync_all
from slipway.format import MAX_FRAME, FormatError, ImageRef, Manifest, check_frame


class CopyTarget(FolderStore):
    """It keeps each chunk at once, so that a copy that is cut has lost the one under way alone."""

    def __init__(self, root: Path, look: bool = False) -> None:
        """Open it, or make a new one; only to `look`, nothing is made or written."""
        super().__init__(root, create=not look)
        self._writing = threading.Lock()
        if look:
            return
        # Before anybody asks what is missing: what a copy that was killed had written is not.
        with storage_errors(root):
            self._open_desk()

    def put(self, digest: str, frame: bytes) -> None:
        """Write a chunk that was proven; it has its name, and lasts, when this returns."""
        # One after the other: a second thread would not make the disk faster.
        with storage_errors(self.root), self._writing:
            draft = self._open_desk() / f"{digest}-{secrets.token_hex(4)}"
            with draft.open("wb") as file:
                file.write(frame)
            self._name(digest, draft)

    def _name(self, digest: str, draft: Path) -> None:
        with draft.open("rb") as file:
            os.fdatasync(file.fileno())
        final = self._chunk(digest)
        final.parent.mkdir(parents=True, exist_ok=True)
        draft.rename(final)

    def _save_from(self, desk: Path) -> None:
        for draft in desk.iterdir():
            digest = draft.name.partition("-")[0]
            with suppress(FormatError, OSError):
                if draft.stat().st_size <= MAX_FRAME:
                    check_frame(digest, draft.read_bytes())
                    self._name(digest, draft)

    def holds(self, manifest: Manifest) -> bool:
        """Whether the version is here. StoreRefused: another one has its name."""
        ref = ImageRef(manifest.name, manifest.version)
        try:
            found = self.manifest(ref)
        except NotFound:
            return False
        # Its chunks may be packed otherwise here: that is no difference.
        if replace(found, stored_bytes=0) != replace(manifest, stored_bytes=0):
            raise StoreRefused(
                f"{self.root} has another {ref}; it was left as it is",
                "copy to another folder, or rename the image at one of the two",
            )
        return True

    def adopt(self, manifest: Manifest) -> int:
        """Make it a version here, once all its chunks are; the sum of their sizes.

        ChunksLacking: one of them went while others came. StoreRefused as `holds`.
        """
        with storage_errors(self.root):
            stored = sum(found.st_size for found in self._files(manifest).values())
            sync_all(self.root)
            if not self.holds(manifest):
                self._link(replace(manifest, stored_bytes=stored))
        return stored
