# SPDX-License-Identifier: GPL-3.0-or-later
"""The same versions under another name: their manifests, in which the name stands, written anew.

All of them appear at once, with a folder that is renamed: whatever ends the process, the new image
is there as a whole or not at all, and doing it again finishes it.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from slipway.format.codec import serialize
from slipway.format.errors import FormatError

from ..base import files
from ..base.errors import ServiceError
from .images import Images


def copy(images: Images, name: str, versions: Sequence[str], to: str) -> None:
    """Make image ``to`` of these versions; an equal one that is there is left alone."""
    if there := images.taken(to):
        if all(_is_copy(images, name, version, to) for version in versions):
            return
        raise ServiceError(
            "name_taken",
            f"There is an image {to}, or was, with {len(there)} versions: nothing was changed.",
        )
    folder = images.tmp / secrets.token_hex(16)
    try:
        folder.mkdir(mode=0o750)
        for version in versions:
            _write(folder / f"{version}.json", _renamed(images, name, version, to))
        files.sync_folder(folder)
        final = images.path(to, versions[0]).parent
        with images.moving:
            # An empty folder of that name is replaced, one with a version is not.
            folder.rename(final)
            images.touched.add(to)
            files.sync_folder(final.parent)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise files.as_service_error(error, f"The copy of {name}") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _is_copy(images: Images, name: str, version: str, to: str) -> bool:
    try:
        return images.path(to, version).read_bytes() == _renamed(images, name, version, to)
    except OSError:
        return False


def _renamed(images: Images, name: str, version: str, to: str) -> bytes:
    try:
        return serialize(replace(images.manifest(name, version), name=to))
    except FormatError as error:
        raise ServiceError(
            "store_failed", f"The manifest of {name}@{version} is damaged: {error}."
        ) from error


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        files.write_all(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
