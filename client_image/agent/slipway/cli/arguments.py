# SPDX-License-Identifier: GPL-3.0-or-later
"""The arguments of all verbs, as one typed value."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from slipway import __version__
from slipway.engine.content.base import Policy
from slipway.engine.rescue import MAX_SECONDS, MAX_UNREADABLE
from slipway.format.frames import MAX_LEVEL


@dataclass
class Arguments(argparse.Namespace):
    """Everything that any verb can be told."""

    verb: str = ""
    json: bool = False
    debug: bool = False
    disks: list[str] = field(default_factory=list)
    image: str = ""
    name: str = ""
    store: list[str] = field(default_factory=list)
    token_file: Path | None = None
    ca: Path | None = None
    session: Path | None = None
    job: str = ""
    unit: str = ""
    log: Path = Path()
    level: int = 3
    threads: int = 0
    whole: list[str] = field(default_factory=list)
    unclean: Policy = "refuse"
    keep_gaps: bool = False
    luks_key: list[str] = field(default_factory=list)
    target: list[str] = field(default_factory=list)
    disk: list[str] = field(default_factory=list)
    partition: list[str] = field(default_factory=list)
    grow: list[str] = field(default_factory=list)
    move: list[str] = field(default_factory=list)
    read_back: bool = False
    read_first: bool = False
    dry_run: bool = False
    allow_degraded: bool = False
    max_unreadable: int = MAX_UNREADABLE
    rescue_minutes: int = int(MAX_SECONDS / 60)
    stay: bool = False
    timeout: float | None = None
    jobs: Path = Path("/run/slipway/jobs")
    once: bool = False
    screen: list[Path] = field(default_factory=list)
    leave: bool = False
    to: str = ""


def parse_arguments(argv: Sequence[str] | None = None) -> Arguments:
    """Read the command line; argparse itself ends the program on a wrong one, with code 2."""
    parser = argparse.ArgumentParser(
        prog="slipway",
        description="Saves a machine's disks as images and writes them back.",
    )
    parser.add_argument("--version", action="version", version=f"slipway {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _probe(verbs.add_parser("probe", help="show disks and how each partition would be saved"))
    _backup(verbs.add_parser("backup", help="save disks as a new version of an image"))
    _restore(verbs.add_parser("restore", help="make disks equal to an image"))
    _compare(verbs.add_parser("compare", help="say what differs between disks and an image"))
    _verify(verbs.add_parser("verify", help="read an image through and check every chunk"))
    _copy(verbs.add_parser("copy", help="copy a version to a store in another folder"))
    _list(verbs.add_parser("list", help="show images and their versions"))
    _checkin(verbs.add_parser("checkin", help="join the session that this machine was booted for"))
    _choice(verbs.add_parser("choice", help="ask for what this machine's user chose in the menu"))
    _register(verbs.add_parser("register", help="ask the server to register this PC, and wait"))
    _ended(verbs.add_parser("ended", help="tell the server how a job's unit ended"))
    _console(verbs.add_parser("console", help="show on this screen what the machine is doing"))
    _medium(
        verbs.add_parser("medium", help="restore this PC from the medium that it was booted from")
    )
    return parser.parse_args(argv, namespace=Arguments())


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="write JSON lines to standard output")
    parser.add_argument("--debug", action="store_true", help="log what is being run")


def _store(parser: argparse.ArgumentParser) -> None:
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument(
        "--store",
        action="append",
        default=[],
        metavar="DIR|URL",
        help="a folder, or https://SERVER; the discs of a set, each with a --store of its own",
    )
    place.add_argument(
        "--session", type=Path, metavar="FILE", help="the file that slipway checkin wrote"
    )
    _job(parser)
    parser.add_argument("--token-file", type=Path, metavar="F", help="session token for a URL")
    parser.add_argument("--ca", type=Path, metavar="F", help="certificate authority for a URL")


def _job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--job", default="", metavar="NAME", help="what the server is told that this is"
    )


def _threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=_number(1, 64), default=0, metavar="N")


def _disks(parser: argparse.ArgumentParser, otherwise: str) -> None:
    parser.add_argument("disks", nargs="*", metavar="DISK", help=f"default: {otherwise}")


def _image(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE[@VERSION]")


def _probe(parser: argparse.ArgumentParser) -> None:
    _disks(parser, "all fixed disks")
    _how(parser)
    _common(parser)


def _backup(parser: argparse.ArgumentParser) -> None:
    _disks(parser, "all fixed disks")
    parser.add_argument("--name", default="", help="the image; default: the session's")
    _store(parser)
    parser.add_argument("--level", type=_number(1, MAX_LEVEL), default=3, help="zstd level")
    _threads(parser)
    _how(parser)
    parser.add_argument(
        "--max-unreadable",
        type=_number(0, 1 << 50),
        default=MAX_UNREADABLE,
        metavar="BYTES",
        help="give up when the disks lack more; default: %(default)s",
    )
    parser.add_argument(
        "--rescue-minutes",
        type=_number(0, 100_000),
        default=int(MAX_SECONDS / 60),
        metavar="N",
        help="how long reads that fail may take altogether; default: %(default)s",
    )
    _common(parser)


def _how(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--whole",
        action="append",
        default=[],
        metavar="PARTITION",
        help="save all sectors of it, e.g. disk0:2; disk0:disk is the disk itself",
    )
    parser.add_argument(
        "--luks-key",
        action="append",
        default=[],
        metavar="PARTITION=FILE",
        help="the passphrase of an encrypted one, in a file, or - for standard input",
    )
    parser.add_argument(
        "--unclean",
        choices=get_args(Policy),
        default="refuse",
        help="save what was not shut down cleanly with all sectors, or refuse it, the default",
    )
    parser.add_argument(
        "--keep-gaps",
        action="store_true",
        help="save what lies in no partition in full; else of a long gap its ends alone",
    )


def _restore(parser: argparse.ArgumentParser) -> None:
    _compare(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what differs, write nothing")
    parser.add_argument(
        "--allow-degraded",
        action="store_true",
        help="restore a version that lacks sectors: they become zeros",
    )
    parser.add_argument(
        "--grow",
        action="append",
        default=[],
        metavar="last|PARTITION",
        help="on a larger disk, let it and its file system take the space behind it",
    )
    parser.add_argument(
        "--read-first",
        action="store_true",
        help="read every chunk of a folder first, also what was found sound lately",
    )
    parser.add_argument(
        "--move",
        action="append",
        default=[],
        metavar="last|PARTITION",
        help="let it grow, and move what lies behind it to the end of the disk",
    )
    parser.add_argument(
        "--read-back",
        action="store_true",
        help="read everything from the disk again before it may boot",
    )


def _compare(parser: argparse.ArgumentParser) -> None:
    _image(parser)
    _disks(parser, "found by serial number, WWN and model")
    _store(parser)
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="ID=DISK",
        help="put this disk of the image there, whatever its serial number",
    )
    parser.add_argument(
        "--disk",
        action="append",
        default=[],
        metavar="ID",
        help="only this disk of the image, e.g. disk0, when another one of them is gone",
    )
    parser.add_argument(
        "--partition",
        action="append",
        default=[],
        metavar="PARTITION",
        help="only this one, e.g. disk0:2, into a table that has it already",
    )
    _threads(parser)
    _common(parser)


def _verify(parser: argparse.ArgumentParser) -> None:
    _image(parser)
    _store(parser)
    _threads(parser)
    _common(parser)


def _copy(parser: argparse.ArgumentParser) -> None:
    _image(parser)
    parser.add_argument(
        "--from", dest="store", required=True, metavar="DIR|URL", help="the store that has it"
    )
    parser.add_argument("--token-file", type=Path, metavar="F", help="session token for a URL")
    parser.add_argument("--ca", type=Path, metavar="F", help="certificate authority for a URL")
    parser.add_argument(
        "--to", required=True, metavar="DIR", help="the store that gets it; may be new"
    )
    parser.add_argument(
        "--read-first",
        action="store_true",
        help="read what is there already, and send again what is bad",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what is missing there")
    _threads(parser)
    _common(parser)


def _list(parser: argparse.ArgumentParser) -> None:
    _store(parser)
    _common(parser)


def _checkin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stay", action="store_true", help="then keep the session alive")
    parser.add_argument("--timeout", type=float, metavar="S", help="give up after S seconds")
    _common(parser)


def _choice(parser: argparse.ArgumentParser) -> None:
    _screens(parser)
    parser.add_argument("--jobs", type=Path, default=Path("/run/slipway/jobs"), metavar="DIR")
    _common(parser)


def _register(parser: argparse.ArgumentParser) -> None:
    _screens(parser)
    parser.add_argument(
        "--leave", action="store_true", help="in the end reboot, or switch off when refused"
    )
    _common(parser)


def _ended(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("unit", metavar="UNIT")
    parser.add_argument("--session", type=Path, required=True, metavar="FILE")
    parser.add_argument("--log", type=Path, required=True, metavar="FILE", help="its JSON lines")
    _job(parser)
    _common(parser)


def _screens(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--screen",
        action="append",
        type=Path,
        default=[],
        metavar="TTY",
        help="talk there, e.g. /dev/tty1; default: standard input and output",
    )


def _console(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=Path, default=Path("/run/slipway/jobs"), metavar="DIR")
    parser.add_argument("--once", action="store_true", help="draw once and end")
    _common(parser)


def _medium(parser: argparse.ArgumentParser) -> None:
    _screens(parser)
    _common(parser)


def _number(smallest: int, largest: int) -> type[int]:
    class Bounded(int):
        """An argument between two bounds."""

        def __new__(cls, text: str) -> Bounded:
            value = int(text)
            if not smallest <= value <= largest:
                raise ValueError
            return super().__new__(cls, value)

    Bounded.__name__ = f"number from {smallest} to {largest}"
    return Bounded
