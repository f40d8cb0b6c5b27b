# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of manifests: ``<name>/<version>.json``, below ``images`` and ``trash`` alike."""

from __future__ import annotations

import os
from pathlib import Path

from slipway.format.errors import FormatError
from slipway.format.names import check_version, version_key

_SUFFIX = ".json"


def versions_in(folder: Path) -> list[str]:
    """The versions whose manifests lie in a folder, newest last; none if it is not there."""
    found = []
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    for name in names:
        try:
            if name.endswith(_SUFFIX):
                found.append(check_version(name.removesuffix(_SUFFIX)))
        except FormatError:
            continue
    return sorted(found, key=version_key)


def manifests_in(root: Path) -> list[Path]:
    """Every file below ``root`` that is a manifest or looks like one, whatever its name says."""
    return sorted(
        path
        for folder in root.iterdir()
        if folder.is_dir()
        for path in folder.iterdir()
        if path.name.endswith(_SUFFIX)
    )
