# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file with the one host key of a machine in the imaging environment, on the controller."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean


def note_host_key(path: Path, machine: str, key: str, public_key: str = "") -> None:
    """Write the host key, and beside it the public key that the machine lets in."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(path, f"{machine} {key}\n")
        public_key_file(path).unlink(missing_ok=True)
        if public_key:
            _write(public_key_file(path), f"{' '.join(public_key.split()[:2])}\n")
    except OSError as failure:
        raise SlipwayError(
            f"The host key of {machine} can't be noted: {clean(failure)}.",
            "Let imaging_session_known_hosts_dir name a folder that you may write to.",
            "no_host_key_file",
        ) from failure


def forget_host_key(path: Path, machine: str) -> bool:
    """Remove what `note_host_key` wrote, and nothing else; return whether it was there.

    A folder, a link, or a file with anything but this machine's one key is left alone.
    """
    try:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode):
            return False
        words = path.read_text(errors="replace").split()
        if len(words) != 3 or words[0] != machine:
            return False
        path.unlink()
        public_key_file(path).unlink(missing_ok=True)
    except OSError:
        return False
    return True


def public_key_file(path: Path) -> Path:
    """Return the file of the public key beside another."""
    return path.with_name(f"{path.name}.pub")


def _write(path: Path, text: str) -> None:
    """Replace a file; what a link points to stays as it is."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    draft.rename(path)
