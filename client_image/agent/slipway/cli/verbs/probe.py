# SPDX-License-Identifier: GPL-3.0-or-later
"""Show disks and what a backup would do with them."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from slipway import __version__
from slipway.cli import groups
from slipway.cli.arguments import Arguments
from slipway.cli.views import JsonView, TerminalView, View, error_json
from slipway.cli.work import chosen, manner
from slipway.engine import devices
from slipway.engine.agreement import settled
from slipway.engine.devices import BlockDisk
from slipway.engine.errors import SourceRefused
from slipway.engine.gaps import surveyed
from slipway.engine.mapping import DiskMap, How, map_disk
from slipway.engine.preview import previews
from slipway.engine.progress import Meter
from slipway.format.units import size
from slipway.net.facts import firmware

HELP = "show disks and how each partition would be saved"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what it can be told."""
    groups.disks(parser, "all fixed disks")
    groups.how(parser)
    groups.common(parser)


def run(arguments: Arguments, view: View) -> int:
    """Show disks and what a backup would do with them. A disk that refuses says so and why."""
    disks = chosen(arguments)
    how = manner(arguments, disks)
    meter = Meter(view.progress)
    looks = [_look(disk, f"disk{index}", how, meter) for index, disk in enumerate(disks)]
    if isinstance(view, TerminalView):
        view.end_line()
    maps = settled([each for each in looks if isinstance(each, DiskMap)], how.unclean)
    found = {each.id: each for each in maps}
    entries = []
    for index, (disk, look) in enumerate(zip(disks, looks, strict=True)):
        disk_map = found.get(f"disk{index}")
        entries.append(
            {
                "disk": f"disk{index}",
                "device": str(disk.path),
                "size": disk.size,
                "logical_sector": disk.logical_sector,
                "physical_sector": disk.physical_sector,
                "transport": disk.transport,
                "mounts": list(disk.mounts),
                **asdict(disk.identity),
                "table": {"kind": disk_map.table.kind, "id": disk_map.table.id}
                if disk_map
                else None,
                "partitions": [asdict(each) for each in previews(disk_map)] if disk_map else [],
                "warnings": list(disk_map.warnings) if disk_map else [],
                "error": error_json(look) if isinstance(look, SourceRefused) else None,
            }
        )
        if not arguments.json:
            _print_disk(disk, index, disk_map or look)
    if isinstance(view, JsonView):
        view.other(
            {
                "type": "result",
                "verb": "probe",
                "changed": False,
                "agent_version": __version__,
                "firmware": firmware(),
                "disks": entries,
            }
        )
    return 0


def _look(disk: BlockDisk, name: str, how: How, meter: Meter) -> DiskMap | SourceRefused:
    try:
        with devices.open_read_only(disk) as handle:
            return surveyed(map_disk(disk, handle, name, how), handle, meter)
    except SourceRefused as error:
        return error


def _print_disk(disk: BlockDisk, index: int, look: DiskMap | SourceRefused) -> None:
    if isinstance(look, SourceRefused):
        print(f"disk{index}  {disk}\n  refused: {look.message}; {look.remedy}")
        return
    print(f"disk{index}  {disk}  table: {look.table.kind}")
    for each in previews(look):
        why = f"  ({each.reason})" if each.reason else ""
        print(f"  {each.partition:>4}  {size(each.size):>8}  {each.content:8} {each.method}{why}")
    for warning in look.warnings:
        print(f"  warning: {warning}")
