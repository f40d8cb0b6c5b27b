# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs that look at a store: verify and list."""

from __future__ import annotations

from dataclasses import asdict

from slipway.cli.arguments import Arguments
from slipway.cli.job import at_work
from slipway.cli.units import size
from slipway.cli.views import JsonView, View
from slipway.engine.result import CellCounts, Result
from slipway.engine.store import damaged, read_through
from slipway.format import ImageRef, parse_image_ref
from slipway.net.client import PATIENCE


def verify(arguments: Arguments, view: View) -> int:
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


def list_images(arguments: Arguments, view: View) -> int:
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
