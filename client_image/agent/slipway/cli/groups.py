# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments that several verbs have."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from slipway.engine.content.base import Policy


def common(parser: argparse.ArgumentParser) -> None:
    """How it speaks."""
    parser.add_argument("--json", action="store_true", help="write JSON lines to standard output")
    parser.add_argument("--debug", action="store_true", help="log what is being run")


def store(parser: argparse.ArgumentParser) -> None:
    """Where images are."""
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
    job(parser)
    url(parser)


def job(parser: argparse.ArgumentParser) -> None:
    """Its name at the server."""
    parser.add_argument(
        "--job", default="", metavar="NAME", help="what the server is told that this is"
    )


def url(parser: argparse.ArgumentParser) -> None:
    """What a store at a URL needs."""
    parser.add_argument("--token-file", type=Path, metavar="F", help="session token for a URL")
    parser.add_argument("--ca", type=Path, metavar="F", help="certificate authority for a URL")


def threads(parser: argparse.ArgumentParser) -> None:
    """How many work side by side."""
    parser.add_argument("--threads", type=number(1, 64), default=0, metavar="N")


def disks(parser: argparse.ArgumentParser, otherwise: str) -> None:
    """Disks of this machine."""
    parser.add_argument("disks", nargs="*", metavar="DISK", help=f"default: {otherwise}")


def image(parser: argparse.ArgumentParser) -> None:
    """The image that it is about."""
    parser.add_argument("image", metavar="IMAGE[@VERSION]")


def how(parser: argparse.ArgumentParser) -> None:
    """What decides what is saved how."""
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


def comparison(parser: argparse.ArgumentParser) -> None:
    """Disks beside an image."""
    image(parser)
    disks(parser, "found by serial number, WWN and model")
    store(parser)
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
    threads(parser)
    common(parser)


def screens(parser: argparse.ArgumentParser) -> None:
    """Where it talks with people."""
    parser.add_argument(
        "--screen",
        action="append",
        type=Path,
        default=[],
        metavar="TTY",
        help="talk there, e.g. /dev/tty1; default: standard input and output",
    )


def number(smallest: int, largest: int) -> type[int]:
    """A type of arguments between two bounds."""

    class Bounded(int):
        """An argument between two bounds."""

        def __new__(cls, text: str) -> Bounded:
            value = int(text)
            if not smallest <= value <= largest:
                raise ValueError
            return super().__new__(cls, value)

    Bounded.__name__ = f"number from {smallest} to {largest}"
    return Bounded
