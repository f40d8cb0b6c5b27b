# SPDX-License-Identifier: GPL-3.0-or-later
"""Save disks as a new version of an image."""

from __future__ import annotations

import argparse

from slipway.cli import groups
from slipway.cli.arguments import Arguments
from slipway.cli.views import View
from slipway.cli.work import at_work, chosen, manner
from slipway.engine.backup import Options
from slipway.engine.backup import backup as engine_backup
from slipway.engine.boot_entries import recorded
from slipway.engine.errors import SourceRefused, UsageError
from slipway.engine.rescue import MAX_SECONDS, MAX_UNREADABLE
from slipway.format import Machine, check_name
from slipway.format.frames import MAX_LEVEL
from slipway.net.facts import hardware

HELP = "save disks as a new version of an image"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it can be told."""
    groups.disks(parser, "all fixed disks")
    parser.add_argument("--name", default="", help="the image; default: the session's")
    groups.store(parser)
    parser.add_argument("--level", type=groups.number(1, MAX_LEVEL), default=3, help="zstd level")
    groups.threads(parser)
    groups.how(parser)
    parser.add_argument(
        "--max-unreadable",
        type=groups.number(0, 1 << 50),
        default=MAX_UNREADABLE,
        metavar="BYTES",
        help="give up when the disks lack more; default: %(default)s",
    )
    parser.add_argument(
        "--rescue-minutes",
        type=groups.number(0, 100_000),
        default=int(MAX_SECONDS / 60),
        metavar="N",
        help="how long reads that fail may take altogether; default: %(default)s",
    )
    groups.common(parser)


def run(arguments: Arguments, view: View) -> int:
    """Save disks."""
    with at_work(arguments, view, create=True) as job:
        name = arguments.name or (job.session.image if job.session else "")
        if not name:
            raise UsageError("the image has no name", "give it one with --name")
        check_name(name)
        disks = chosen(arguments)
        if not disks:
            raise SourceRefused("this machine has no fixed disk", "name the disk, or look at probe")
        options = Options(
            level=arguments.level,
            threads=arguments.threads,
            how=manner(arguments, disks),
            max_unreadable=arguments.max_unreadable,
            rescue_seconds=60.0 * arguments.rescue_minutes,
        )
        facts = hardware()
        machine = Machine(
            name=job.session.machine if job.session else "",
            vendor=facts["vendor"],
            model=facts["model"],
            serial=facts["serial"],
            firmware=facts["firmware"],
        )
        machine = recorded(machine)
        result = engine_backup(disks, name, job.store, job.meter, machine, options, job.warning)
        job.done(result)
    return 0
