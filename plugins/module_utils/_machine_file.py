# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of one machine, ``machines.d/NAME.json``: what may stand in it.

One machine a file, and JSON, so that a program can write it whole or not at all. Much of what it
holds a PC said about itself: it is data to whoever reads it, never a template.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.module_utils._names import (
    check_macs,
    check_name,
    clip,
    is_name,
)

FOLDER = "machines.d"
SUFFIX = ".json"
# The inventory source that reads the folder beside it.
CONFIG_NAMES = ("machines.yml", "machines.yaml")
# A PC with 64 disks and 64 cards needs about 30 kB.
LARGEST = 256 << 10

_KEYS = {"name", "groups", "vars"}
_GROUP = re.compile(r"[a-z][a-z0-9_-]{0,62}")
# In `machines` it is anyhow; in the others no PC has a place.
_FORBIDDEN_GROUPS = {"all", "ungrouped", "localhost", "image_servers"}
_VARIABLE = re.compile(r"[a-z][a-z0-9_]{0,62}")
# Ansible's own: how it connects, and what it runs here. `hosts`, `vars` and `children` are words of
# the YAML inventory, which reads these files as well where ansible.cfg does not keep it away.
_FORBIDDEN_VARIABLE = re.compile(r"ansible_.*|hosts|vars|children")
_DEEPEST = 8


@dataclass(frozen=True)
class MachineFile:
    """One machine as its file says."""

    name: str
    groups: tuple[str, ...] = ()
    vars: Mapping[str, Any] = field(default_factory=dict)

    @property
    def macs(self) -> tuple[str, ...]:
        """Return the MAC addresses in their one spelling."""
        return check_macs(self.vars.get("machine_macs", []))


@dataclass(frozen=True)
class BrokenFile:
    """A file that can't be used; `machine` is None when not even its name can."""

    path: Path
    machine: str | None
    problem: SlipwayError


def check_group(value: object) -> str:
    """Return a value that may name a group of machines, else raise SlipwayError."""
    if not isinstance(value, str) or not _GROUP.fullmatch(value) or value in _FORBIDDEN_GROUPS:
        raise SlipwayError(
            f"{clip(value)} can't be a group of machines.",
            "Use lower-case letters, digits and '_', beginning with a letter, and none of the"
            f" words {', '.join(sorted(_FORBIDDEN_GROUPS))}.",
            "bad_group",
        )
    return value


def parse(name: str, content: bytes) -> MachineFile:
    """Read the content of the file of machine `name`."""
    check_name(name, "machine")
    if len(content) > LARGEST:
        raise _broken(f"it is larger than {LARGEST} bytes")
    try:
        document = json.loads(content.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as failure:
        raise _broken(f"it is no JSON in UTF-8: {clean(failure, 120)}") from failure
    return from_document(name, document)


def from_document(name: str, document: object) -> MachineFile:
    """Check what a file holds and return it, MAC addresses in their one spelling."""
    if not isinstance(document, dict) or set(document) != _KEYS:
        raise _broken(f"it must be an object with the keys {', '.join(sorted(_KEYS))}")
    groups, variables = document["groups"], document["vars"]
    if document["name"] != name:
        raise _broken(f"it says {clip(document['name'])}: name and file name must be the same")
    if not isinstance(groups, list) or not isinstance(variables, dict):
        raise _broken("groups must be a list, vars an object")
    made = MachineFile(name, tuple(check_group(group) for group in groups), _checked(variables))
    if "machine_macs" not in variables:
        return made
    return replace(made, vars={**variables, "machine_macs": list(made.macs)})


def render(machine: MachineFile) -> bytes:
    """Return the content of a machine's file; what `parse` would refuse, this refuses too."""
    return _text(parse(machine.name, _text(machine)))


def _text(machine: MachineFile) -> bytes:
    document = {"name": machine.name, "groups": list(machine.groups), "vars": dict(machine.vars)}
    return (json.dumps(document, indent=2, ensure_ascii=True) + "\n").encode("ascii")


def read_all(folder: Path) -> Iterator[MachineFile | BrokenFile]:
    """Yield every machine of a folder in the order of their names, broken ones as what they are."""
    paths = sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
    for path in paths:
        if path.name.startswith("."):
            continue
        try:
            yield parse(path.stem, _content(path))
        except SlipwayError as problem:
            yield BrokenFile(path, path.stem if is_name(path.stem) else None, problem)


def read(path: Path) -> MachineFile | None:
    """Return what a file says, None when there is none."""
    return parse(path.stem, _content(path)) if os.path.lexists(path) else None


def merged(before: MachineFile | None, new: MachineFile) -> MachineFile:
    """Return a machine's file with new variables, and new groups if there are any."""
    if before is None:
        raise SlipwayError(
            f"{new.name} has no file that could be replaced.",
            "Change it where it stands in the inventory, or leave replace out to add it.",
            "no_machine_file",
        )
    return MachineFile(new.name, new.groups or before.groups, {**before.vars, **new.vars})


def create(path: Path, machine: MachineFile) -> None:
    """Write a file that must not be there yet; whole or not at all."""
    with _draft(path, machine) as draft:
        try:
            path.hardlink_to(draft)
        except FileExistsError as failure:
            raise SlipwayError(
                f"{path} was written by somebody else at this moment; it was left alone.",
                "Run it again.",
                "machine_exists",
            ) from failure


def overwrite(path: Path, machine: MachineFile) -> None:
    """Put a file in the place of the one that is there; whole or not at all."""
    with _draft(path, machine) as draft:
        draft.rename(path)


def remove(path: Path) -> None:
    """Remove a file."""
    try:
        path.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as failure:
        raise _unwritten(path, failure) from failure


@contextmanager
def _draft(path: Path, machine: MachineFile) -> Iterator[Path]:
    """Yield a file with the content, on disk, under a name that nobody reads."""
    content = render(machine)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o755, exist_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        yield draft
        _sync_folder(path.parent)
    except OSError as failure:
        raise _unwritten(path, failure) from failure
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritten(path: Path, failure: OSError) -> SlipwayError:
    return SlipwayError(
        f"{path} could not be changed: {failure.strerror}. What was there is there still.",
        "See whether its folder is yours to write and has room.",
        "not_written",
    )


def _content(path: Path) -> bytes:
    try:
        # Never wait for a FIFO, never read a device.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise _broken("it is no regular file")
            return file.read(LARGEST + 1)
    except OSError as failure:
        raise _broken(f"it can't be read: {failure.strerror}") from failure


def _checked(variables: dict[str, Any]) -> dict[str, Any]:
    for key in variables:
        if not _VARIABLE.fullmatch(key) or _FORBIDDEN_VARIABLE.fullmatch(key):
            raise SlipwayError(
                f"{clip(key)} can't be a variable of a machine's file.",
                "Variables have lower-case letters, digits and '_'; how Ansible connects is said in"
                " group_vars or host_vars.",
                "bad_variable",
            )
    if _depth(variables) > _DEEPEST:
        raise _broken(f"vars are nested deeper than {_DEEPEST}")
    return variables


def _depth(value: object, limit: int = _DEEPEST + 1) -> int:
    if not isinstance(value, dict | list) or not limit:
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(item, limit - 1) for item in inner), default=0)


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _broken(why: str) -> SlipwayError:
    return SlipwayError(
        f"The machine's file can't be used: {why}.",
        "Mend or remove it; playbooks/register.yml and playbooks/machine_import.yml write such"
        " files.",
        "bad_machine_file",
    )
