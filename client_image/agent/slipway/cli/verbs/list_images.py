# SPDX-License-Identifier: GPL-3.0-or-later
"""Show images and their versions."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from slipway.cli import groups
from slipway.cli.arguments import Arguments
from slipway.cli.views import JsonView, View
from slipway.cli.work import at_work
from slipway.format.units import size
from slipway.net.client import PATIENCE

HELP = "show images and their versions"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it can be told."""
    groups.store(parser)
    groups.common(parser)


def run(arguments: Arguments, view: View) -> int:
    """Show what the store holds."""
    with at_work(arguments, view, patience=PATIENCE) as job:
        images = job.store.images()
    if isinstance(view, JsonView):
        listed = [asdict(image) for image in images]
        view.other({"type": "result", "verb": "list", "changed": False, "images": listed})
        return 0
    for image in images:
        for each in image.versions:
            what = each.damage or f"{size(each.bytes)} used, {size(each.stored)} stored"
            if each.unreadable:
                what += f", degraded: {each.unreadable} bytes could not be read"
            if each.ahead:
                what += f", says a time to come: made {each.created or 'nobody knows when'}"
            print(f"{image.name}@{each.version}  {what}")
    return 0
