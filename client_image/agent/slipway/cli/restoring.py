# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs that hold disks against an image: restore and compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from slipway.cli.arguments import Arguments
from slipway.cli.job import at_work, chosen
from slipway.cli.views import View
from slipway.engine import devices
from slipway.engine.boot_entries import restore_entries
from slipway.engine.errors import UsageError
from slipway.engine.match import Pair, match_disks
from slipway.engine.restore import restore as engine_restore
from slipway.engine.restore_work import Mode
from slipway.engine.result import Result
from slipway.engine.selection import Growing, growing, select, select_disks
from slipway.engine.shrink import ReshapedStore
from slipway.format import Manifest, parse_image_ref
from slipway.net.checkin import firmware

DIFFERS = 1


def restore(arguments: Arguments, view: View) -> int:
    """Write disks."""
    _compare_or_restore(arguments, view, "dry-run" if arguments.dry_run else "restore")
    return 0


def compare(arguments: Arguments, view: View) -> int:
    """Compare disks; the exit code says whether they differ."""
    return DIFFERS if _compare_or_restore(arguments, view, "compare").changed else 0


def _compare_or_restore(arguments: Arguments, view: View, mode: Mode) -> Result:
    with at_work(arguments, view) as job:
        with job.meter.phase("check", 0):
            manifest = job.store.manifest(parse_image_ref(arguments.image))
        manifest = select_disks(manifest, arguments.disk)
        grow = growing(manifest, arguments.grow, arguments.move)
        if grow and arguments.partition:
            raise UsageError(
                "--grow changes the table, which --partition leaves alone", "use one of them"
            )
        manifest = select(manifest, arguments.partition)
        store = ReshapedStore(job.store, manifest, job.meter)
        pairs = _pairs(arguments, manifest, grow, store)
        for note in (note for pair in pairs for note in pair.fit.notes):
            view.warning(note)
        result = engine_restore(
            manifest,
            pairs,
            store,
            job.meter,
            mode,
            arguments.threads,
            allow_degraded=arguments.allow_degraded,
            read_back=arguments.read_back,
        )
        if mode != "compare":
            result = _boot_entries(result, manifest, pairs, view, write=mode == "restore")
        job.done(result)
    return result


def _boot_entries(
    result: Result, manifest: Manifest, pairs: tuple[Pair, ...], view: View, write: bool
) -> Result:
    entries = restore_entries(manifest, pairs, firmware(), write)
    for entry in entries:
        if entry.state == "failed":
            view.warning(
                f"the boot entry {entry.label} could not be written: {entry.problem}; the disks "
                r"are restored, and firmware that finds no entry starts \EFI\BOOT\BOOTX64.EFI: if "
                f"the PC does not boot, add {entry.loader} in its firmware setup or with efibootmgr"
            )
    changed = any(entry.state in ("created", "missing") for entry in entries)
    return replace(result, boot_entries=entries, changed=result.changed or changed)


def _pairs(
    arguments: Arguments,
    manifest: Manifest,
    grow: Mapping[str, Sequence[Growing]],
    store: ReshapedStore,
) -> tuple[Pair, ...]:
    overrides = {}
    for text in arguments.target:
        disk, separator, path = text.partition("=")
        if not separator or not path:
            raise UsageError(f"--target {text} can't be read", "write --target disk0=/dev/sdX")
        overrides[disk] = devices.find_disk(path)
    named = bool(arguments.disks)
    return match_disks(manifest, chosen(arguments), overrides, named, grow, store.shrinker)
