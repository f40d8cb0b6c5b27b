# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of small text files: what differs from what is wanted, and making it equal.

Deciding and doing are two: ``plan`` only looks, ``apply`` only does what a plan says.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import os
import pwd
import re
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.module_utils._names import clip

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:-]{0,250}")
# Whoever reads a diff need not see a hash, but should see that it changed.
_HASH = re.compile(r"scrypt\$[0-9$A-Za-z+/=]+")


@dataclass(frozen=True)
class Wanted:
    """A file as it should be; the label says whose it is."""

    content: bytes
    label: str


@dataclass(frozen=True)
class Owner:
    """Whom the files belong to, and who may read them."""

    uid: int
    gid: int
    mode: int


@dataclass(frozen=True)
class Change:
    """One file that differs; ``before`` or ``after`` is None where it is not there."""

    name: str
    label: str
    before: bytes | None
    after: bytes | None
    # Only mode or owner differ.
    only_access: bool = False

    @property
    def diff(self) -> dict[str, str]:
        """Return the change as Ansible shows it in diff mode."""
        header = f"{self.label}: {self.name}" if self.label else self.name
        return {
            "before_header": header if self.before is not None else f"{header} (is not there)",
            "after_header": header if self.after is not None else f"{header} (is removed)",
            "before": "" if self.only_access else _shown(self.before),
            "after": "owner or mode\n" if self.only_access else _shown(self.after),
        }


def owner_of(user: str, group: str, mode: str) -> Owner:
    """Look names up; raises SlipwayError when the system has not got them."""
    try:
        return Owner(pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid, int(mode, 8))
    except (KeyError, ValueError) as failure:
        raise SlipwayError(
            f"There is no user {clip(user)} or no group {clip(group)} here, or {clip(mode)} is no "
            "mode.",
            "Run playbooks/site.yml for the image server first: it makes them.",
            "no_owner",
        ) from failure


def plan(
    folder: Path, wanted: Mapping[str, Wanted], owner: Owner | None, stale: re.Pattern[str] | None
) -> list[Change]:
    """Return what differs, by name; ``owner`` None compares contents alone.

    Files that nobody wants are removed if their whole name matches ``stale``.
    """
    for name in wanted:
        if not _NAME.fullmatch(name):
            raise SlipwayError(
                f"{clip(name)} can't be the name of a file.", "Use letters and digits.", "bad_name"
            )
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    changes = []
    for name, file in sorted(wanted.items()):
        path = folder / name
        before, access = _look(path)
        if before != file.content:
            changes.append(Change(name, file.label, before, file.content))
        elif owner and access != owner:
            changes.append(Change(name, file.label, before, file.content, only_access=True))
    for name in there:
        if name not in wanted and stale and stale.fullmatch(name):
            changes.append(Change(name, "", _look(folder / name)[0] or b"", None))
    return changes


def apply(folder: Path, changes: list[Change], owner: Owner) -> None:
    """Do what a plan says; each file is replaced at once, so no reader sees half of one."""
    try:
        for change in changes:
            if change.after is None:
                (folder / change.name).unlink(missing_ok=True)
            else:
                _write(folder / change.name, change.after, owner)
    except OSError as failure:
        raise SlipwayError(
            f"{failure.filename or folder} can't be written: {failure.strerror}.",
            "See to space and rights there, and run it again; each file is old or new, never half.",
            "not_written",
        ) from failure


def _look(path: Path) -> tuple[bytes | None, Owner | None]:
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            # A link, say, is replaced by the file; a folder makes the replacement fail.
            return (None, None) if not stat.S_ISLNK(found.st_mode) else (b"", None)
        access = Owner(found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
        return path.read_bytes(), access
    except FileNotFoundError:
        return None, None


def _write(path: Path, content: bytes, owner: Owner) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".slipway-")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, owner.mode)
            os.fchown(handle, owner.uid, owner.gid)
            file.write(content)
            file.flush()
            os.fsync(handle)
        Path(temporary).rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _shown(content: bytes | None) -> str:
    def mark(match: re.Match[str]) -> str:
        return f"scrypt, {hashlib.sha256(match[0].encode()).hexdigest()[:8]}"

    return _HASH.sub(mark, (content or b"").decode("utf-8", "replace"))
