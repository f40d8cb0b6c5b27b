# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs that look at disks: probe and backup."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from slipway import __version__
from slipway.cli.arguments import Arguments
from slipway.cli.job import at_work, chosen
from slipway.cli.units import size
from slipway.cli.views import JsonView, TerminalView, View, error_json
from slipway.engine import devices
from slipway.engine.agreement import settled
from slipway.engine.backup import Options
from slipway.engine.backup import backup as engine_backup
from slipway.engine.boot_entries import recorded
from slipway.engine.devices import BlockDisk
from slipway.engine.errors import SourceRefused, UsageError
from slipway.engine.gaps import surveyed
from slipway.engine.mapping import DiskMap, How, map_disk, resolve_whole
from slipway.engine.preview import previews
from slipway.engine.progress import Meter
from slipway.format import Machine, check_name
from slipway.net.checkin import firmware, hardware

# As much as cryptsetup takes from a key file.
_MAX_KEY = 8 << 20


def probe(arguments: Arguments, view: View) -> int:
    """Show disks and what a backup would do with them. A disk that refuses says so and why."""
    disks = chosen(arguments)
    how = _how(arguments, disks)
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


def _how(arguments: Arguments, disks: tuple[BlockDisk, ...]) -> How:
    return How(
        whole=resolve_whole(arguments.whole, disks),
        keys=_keys(arguments, disks),
        unclean=arguments.unclean,
        keep_gaps=arguments.keep_gaps,
    )


def backup(arguments: Arguments, view: View) -> int:
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
            how=_how(arguments, disks),
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
        result = engine_backup(disks, name, job.store, job.meter, machine, options, view.warning)
        job.done(result)
    return 0


def _keys(arguments: Arguments, disks: tuple[BlockDisk, ...]) -> dict[str, bytes]:
    """Passphrases by volume id. They come by file: a command line is for everyone to see."""
    keys: dict[str, bytes] = {}
    for text in arguments.luks_key:
        name, separator, file = text.partition("=")
        if not separator or not file:
            # Not quoted: it may be the passphrase itself.
            raise UsageError("--luks-key needs PARTITION=FILE", "write --luks-key disk0:2=FILE")
        [volume] = resolve_whole([name], disks, "--luks-key")
        try:
            with Path("/dev/stdin" if file == "-" else file).open("rb") as stream:
                keys[volume] = stream.read(_MAX_KEY)
        except OSError as error:
            raise UsageError(f"{file} can't be read: {error.strerror}") from error
    return keys
