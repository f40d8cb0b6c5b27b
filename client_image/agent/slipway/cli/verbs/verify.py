# SPDX-License-Identifier: GPL-3.0-or-later
"""Read an image through and check every chunk."""

from __future__ import annotations

import argparse

from slipway.cli import groups
from slipway.cli.arguments import Arguments
from slipway.cli.views import View
from slipway.cli.work import at_work
from slipway.engine.result import CellCounts, Result
from slipway.engine.store import damaged, read_through
from slipway.format import ImageRef, parse_image_ref

HELP = "read an image through and check every chunk"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it can be told."""
    groups.image(parser)
    groups.store(parser)
    groups.threads(parser)
    groups.common(parser)


def run(arguments: Arguments, view: View) -> int:
    """Read an image through."""
    with at_work(arguments, view) as job:
        with job.meter.phase("check", 0):
            manifest = job.store.manifest(parse_image_ref(arguments.image))
        content, count = manifest.chunk_bytes, sum(1 for _ in manifest.chunks())
        with job.meter.phase("verify", content):
            problems = read_through(job.store, manifest, job.meter, arguments.threads)
        if problems:
            raise damaged(problems, str(ImageRef(manifest.name, manifest.version)))
        job.done(
            Result(
                verb="verify",
                changed=False,
                image=manifest.name,
                version=manifest.version,
                read=content,
                stored=manifest.stored_bytes,
                cells=CellCounts(total=count, same=count),
                unreadable=manifest.unreadable_bytes,
            )
        )
    return 0
