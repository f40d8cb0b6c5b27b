# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: `python3 -m slipway_media.restore --store DIR --image NAME --medium cd ...`.

Makes the discs, or the file for a stick, that write one version of an image to a PC which has no
network. Runs on the image server, one at a time; nothing is changed until all discs are whole.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway.engine.errors import SlipwayError
from slipway.engine.store_files import sync_path
from slipway.format import FormatError, check_name

from slipway_media import media_set, signing
from slipway_media.errors import MediaError
from slipway_media.plan import Order, Plan, make_plan

RECORD = "media.json"
_OLD = ".old.new"
# What says that no medium was made; `words` are for people.
REFUSALS = (MediaError, SlipwayError, FormatError, OSError)


@dataclass(frozen=True)
class Place:
    """Where media are kept, each set by its name; `reserve`: bytes that stay free there.

    `service`: the socket of the control service, which may remember which chunks are sound.
    """

    folder: Path
    reserve: int
    sign_key: Path | None
    service: Path | None = None


def main(argv: list[str] | None = None) -> int:
    """Make what is missing or different; print JSON, or one message and exit code 1."""
    args = _parser().parse_args(argv)
    try:
        made = make(_order_of(args), place_of(args), check=args.check)
        print(json.dumps(made | {"says": says(made, args.check)}))
    except REFUSALS as error:
        print(words(error), file=sys.stderr)
        return 1
    return 0


def words(error: Exception) -> str:
    """Why no medium was made, and what to do."""
    if isinstance(error, SlipwayError):
        return f"{error.message}. Remedy: {error.remedy}."
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return (
            f"The media could not be made: {error.strerror}{where}; those of before "
            "are as they were. Remedy: look at the room on that disk, and at the disk."
        )
    return str(error) if isinstance(error, MediaError) else f"{error}. Remedy: correct the name."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="slipway_media.restore", description=__doc__)
    add_places(parser)
    add = parser.add_argument
    add("--image", required=True, metavar="NAME[@VERSION]")
    add("--name", default="", help="of the media; default: the image's")
    add("--medium", required=True, metavar="cd|dvd|dvd-dl|bd|bd-dl|usb|BYTES")
    add("--unattended", action="store_true", help="write without a question to a certain target")
    add("--countdown", type=int, default=30, metavar="S", help="seconds before that")
    add("--rule", type=json.loads, default={}, metavar="JSON", help="which disk is the target")
    add("--shell", action="store_true", help="offer a root shell in the menu")
    add("--check", action="store_true", help="make nothing, say what would be made")
    return parser


def add_places(parser: argparse.ArgumentParser) -> None:
    """Ask for what is the same for all media of a server."""
    add = parser.add_argument
    add("--store", type=Path, required=True, help="the image store")
    add("--environment", type=Path, required=True, help="folder of vmlinuz and initrd.img")
    add("--folder", type=Path, required=True, help="where media are kept, each set by its name")
    add("--reserve", type=int, default=1 << 30, metavar="BYTES", help="what stays free")
    add("--sign-key", type=Path, metavar="FILE", help="a private SSH key that signs SHA256SUMS")
    add("--socket", type=Path, help="of the control service: what it proved lately is not unpacked")


def place_of(args: argparse.Namespace) -> Place:
    """What `add_places` asked for, beside store and environment."""
    return Place(args.folder, args.reserve, args.sign_key, args.socket)


def _order_of(args: argparse.Namespace) -> Order:
    return Order(
        store=args.store,
        environment=args.environment,
        image=args.image,
        name=check_name(args.name, "medium") if args.name else "",
        medium=args.medium,
        unattended=args.unattended,
        countdown=args.countdown,
        rule=args.rule,
        shell=args.shell,
    )


def make(order: Order, place: Place, *, check: bool = False) -> dict[str, Any]:
    """Make one set of media, and return what it is and whether anything changed.

    With `check` nothing is made. Raises one of REFUSALS.
    """
    with tempfile.TemporaryDirectory(prefix="slipway-media-") as work:
        plan = make_plan(order, Path(work))
        if (before := _before(plan, place)) is not None:
            return before | {"changed": False}
        if check:
            return plan.facts | {"changed": True}
        with _alone(place.folder):
            if (before := _before(plan, place)) is not None:
                return before | {"changed": False}
            _check_room(place.folder, plan, place.reserve)
            return _made(plan, place) | {"changed": True}


def says(made: dict[str, Any], planned: bool) -> list[str]:
    """What there is, for whoever asked for it."""
    discs, most = made["discs"], "at most " if planned and made["changed"] else ""
    what = "one medium" if len(discs) == 1 else f"{len(discs)} discs"
    lines = [f"{made['image']}@{made['version']}: {what}, {most}{made['bytes']} bytes"]
    lines += [f"{each['file']}  {most}{each['bytes']} bytes" for each in discs]
    lines.append(
        f"They start with shim {made['shim']}: when Secure Boot no longer takes it, make them anew."
    )
    if len(discs) > 1:
        lines.append(
            "Each disc is checked while it is read: where a later one is bad, the PC's disk stays "
            "one that does not boot until a good copy finishes it."
        )
    return lines


def _made(plan: Plan, place: Place) -> dict[str, Any]:
    """Make a set beside the one that it replaces, then put it in its place."""
    folder, final = place.folder, place.folder / plan.name
    _clear(folder)
    half, before = folder / f".{plan.name}.new", folder / f".{plan.name}{_OLD}"
    half.mkdir(mode=0o750)
    try:
        discs = media_set.make(plan, half, place.service)
        signing.sign(half, discs, place.sign_key)
        total = sum(disc["bytes"] for disc in discs)
        record = plan.facts | {"discs": discs, "bytes": total, "made": _now()}
        # One line: the control service reads it, too.
        (half / RECORD).write_text(json.dumps(record) + "\n")
        # What has its name is whole, also after a power cut.
        for each in (*half.iterdir(), half):
            sync_path(each)
        if final.exists():
            final.rename(before)
        half.rename(final)
        sync_path(folder)
    finally:
        if before.exists() and not final.exists():
            before.rename(final)
        for each in (half, before):
            shutil.rmtree(each, ignore_errors=True)
    return record


def _clear(folder: Path) -> None:
    """Remove what an earlier run left that was killed: nobody else is at work here."""
    for old in folder.glob(f".*{_OLD}"):
        name = folder / old.name[1 : -len(_OLD)]
        # Killed between taking the name from one set and giving it to the other.
        if not name.exists():
            old.rename(name)
    for left in folder.glob(".*.new"):
        shutil.rmtree(left, ignore_errors=True)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _record(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _before(plan: Plan, place: Place) -> dict[str, Any] | None:
    """The record of the same set, if its files are there and as long as they were."""
    folder = place.folder / plan.name
    record = _record(folder)
    try:
        sizes = [(folder / disc["file"]).stat().st_size for disc in record["discs"]]
        whole = sizes == [disc["bytes"] for disc in record["discs"]]
    except (OSError, KeyError):
        return None
    signed = all((folder / name).is_file() for name in signing.names(place.sign_key))
    return record if whole and signed and record.get("set") == plan.id else None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of the folder: a second run waits, and may find its work done."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _check_room(folder: Path, plan: Plan, reserve: int) -> None:
    free = shutil.disk_usage(folder).free - reserve
    if plan.bytes > free:
        raise MediaError(
            f"The media take {plan.bytes} bytes, and {folder} has room for {max(free, 0)}; "
            "nothing was made.",
            "Make room there, or put restore_media_server_folder on a larger disk.",
        )


if __name__ == "__main__":
    sys.exit(main())
