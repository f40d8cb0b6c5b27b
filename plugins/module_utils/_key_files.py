# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passphrases on their way to the agent: files in memory for root alone, gone with the job."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean

# /run is in memory, and the imaging environment has no swap.
FOLDER = Path("/run/slipway/keys")


@dataclass(frozen=True)
class KeyFiles:
    """What names the files, without anything secret in it."""

    properties: tuple[str, ...] = ()
    """For systemd-run."""
    options: tuple[str, ...] = ()
    """For the agent."""


@contextmanager
def key_files(keys: Mapping[str, bytes], job: str) -> Generator[KeyFiles, None, None]:
    """Write one file for each partition. The job's end removes them; without a job, this does."""
    if not keys:
        yield KeyFiles()
        return
    folder = _made(FOLDER / job)
    try:
        options: list[str] = []
        for number, (partition, key) in enumerate(sorted(keys.items())):
            path = folder / str(number)
            _write(path, key)
            options += ["--luks-key", f"{partition}={path}"]
        # Run by systemd however the agent ends, also when it was killed or never started.
        remove = f"--property=ExecStopPost=/bin/rm -rf {folder}"
        yield KeyFiles((remove,), tuple(options))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def passphrases(keys: Mapping[str, object]) -> dict[str, bytes]:
    """Return passphrases as the bytes that unlock; no message quotes one."""
    for name, value in keys.items():
        if not isinstance(value, str) or not value:
            raise SlipwayError(
                f"The passphrase of {clean(name, 80)!r} is no text.",
                "Write it in quotes: YAML makes numbers and dates of what looks like one.",
                "bad_passphrase",
            )
    return {name: str(value).encode() for name, value in keys.items()}


def _made(folder: Path) -> Path:
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise SlipwayError(
            f"The passphrases can't be handed to the agent: {clean(error)}",
            "Nothing was saved. Use another name of the job, or none.",
            "no_key_files",
        ) from error
    return folder


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
