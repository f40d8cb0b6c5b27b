# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs: each turns arguments into calls of the engine and its answers into a view."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from slipway import __version__
from slipway.cli.arguments import Arguments
from slipway.cli.choice import Conversation, heart
from slipway.cli.console import Console, follow
from slipway.cli.register import register as ask_to_register
from slipway.cli.screens import Screens
from slipway.cli.terminals import Terminals
from slipway.cli.units import size
from slipway.cli.views import (
    JsonView,
    TerminalView,
    View,
    as_slipway_error,
    degraded_lines,
    error_json,
)
from slipway.engine import devices
from slipway.engine.agreement import settled
from slipway.engine.backup import Options
from slipway.engine.backup import backup as engine_backup
from slipway.engine.boot_entries import recorded, restore_entries
from slipway.engine.devices import BlockDisk
from slipway.engine.errors import (
    CheckinRefused,
    SlipwayError,
    SourceRefused,
    UsageError,
)
from slipway.engine.folder_store import FolderStore
from slipway.engine.gaps import surveyed
from slipway.engine.mapping import DiskMap, How, map_disk, resolve_whole
from slipway.engine.match import Pair, match_disks
from slipway.engine.preview import previews
from slipway.engine.progress import Meter, Record
from slipway.engine.restore import Mode
from slipway.engine.restore import restore as engine_restore
from slipway.engine.result import CellCounts, Result
from slipway.engine.run import run
from slipway.engine.selection import Growing, growing, select, select_disks
from slipway.engine.shrink import ReshapedStore
from slipway.engine.store import Store, damaged, read_through
from slipway.format import ImageRef, Machine, Manifest, check_name, parse_image_ref
from slipway.net import clock
from slipway.net.checkin import (
    Site,
    boot_nonce,
    check_in,
    firmware,
    hardware,
    is_told_to_stay,
    next_session,
    session_id,
    stay,
    ticket_of,
)
from slipway.net.choice import Desk, wish
from slipway.net.client import PATIENCE, WORK_PATIENCE, Client
from slipway.net.http_store import HttpStore
from slipway.net.registration import Registration
from slipway.net.session import Reporter, Session

SESSION_FILE = Path("/run/slipway/session.json")
NONCE_FILE = Path("/run/slipway/nonce")
STAY_FILE = Path("/run/slipway/stay")
SITE_FILE = Path("/etc/slipway/site.json")
DIFFERS = 1
_NEXT = {
    "restart": ["systemctl", "--no-block", "reboot"],
    "shell": ["systemctl", "--no-block", "start", "slipway-shell.target"],
}
# As much as cryptsetup takes from a key file.
_MAX_KEY = 8 << 20


@dataclass
class _Job:
    """A verb at work: its store, its meter, and everyone who wants to know."""

    store: Store
    session: Session | None
    meter: Meter
    view: View
    reporter: Reporter | None
    began: float

    def done(self, result: Result) -> None:
        """Tell the view and the server."""
        result = replace(result, seconds=round(time.monotonic() - self.began, 2))
        for warning in (*degraded_lines(result), *result.warnings):
            self.view.warning(warning)
        if self.reporter is not None:
            self.reporter.finish(result.to_json())
        self.view.result(result)


@contextmanager
def _job(
    arguments: Arguments, view: View, create: bool = False, patience: float = WORK_PATIENCE
) -> Generator[_Job, None, None]:
    session = Session.load(arguments.session) if arguments.session else None
    reporter = Reporter(session) if session is not None else None

    def sink(record: Record) -> None:
        view.progress(record)
        if reporter is not None:
            reporter.progress(record)

    try:
        with closing(_open_store(arguments, session, create, patience)) as store:
            meter = Meter(sink)
            if isinstance(store, HttpStore):
                meter = Meter(sink, waiting=lambda: store.waiting)
            yield _Job(store, session, meter, view, reporter, time.monotonic())
    except Exception as error:
        failure = as_slipway_error(error)
        if reporter is not None:
            reporter.finish(error_json(failure))
        raise failure from error


def _open_store(
    arguments: Arguments, session: Session | None, create: bool, patience: float
) -> Store:
    if session is not None:
        return HttpStore(session.client(patience), session.version)
    if "://" not in arguments.store:
        return FolderStore(Path(arguments.store), create, trusting=not arguments.read_first)
    if arguments.token_file is None or arguments.ca is None:
        raise UsageError("a store at a URL needs --token-file and --ca", "or use --session FILE")
    try:
        token = arguments.token_file.read_text().strip()
    except OSError as error:
        raise UsageError(f"{arguments.token_file} can't be read: {error.strerror}") from error
    return HttpStore(Client(arguments.store, arguments.ca, token, patience))


def _chosen(arguments: Arguments) -> tuple[BlockDisk, ...]:
    if arguments.disks:
        return tuple(devices.find_disk(name) for name in arguments.disks)
    return devices.fixed_disks()


def probe(arguments: Arguments, view: View) -> int:
    """Show disks and what a backup would do with them. A disk that refuses says so and why."""
    disks = _chosen(arguments)
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
    with _job(arguments, view, create=True) as job:
        name = arguments.name or (job.session.image if job.session else "")
        if not name:
            raise UsageError("the image has no name", "give it one with --name")
        check_name(name)
        disks = _chosen(arguments)
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


def restore(arguments: Arguments, view: View) -> int:
    """Write disks."""
    _compare_or_restore(arguments, view, "dry-run" if arguments.dry_run else "restore")
    return 0


def compare(arguments: Arguments, view: View) -> int:
    """Compare disks; the exit code says whether they differ."""
    return DIFFERS if _compare_or_restore(arguments, view, "compare").changed else 0


def _compare_or_restore(arguments: Arguments, view: View, mode: Mode) -> Result:
    with _job(arguments, view) as job:
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
    return match_disks(manifest, _chosen(arguments), overrides, named, grow, store.shrinker)


def verify(arguments: Arguments, view: View) -> int:
    """Read an image through."""
    with _job(arguments, view) as job:
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
    with _job(arguments, view, patience=PATIENCE) as job:
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


def _site() -> Site:
    """The environment's own server, whose time is this PC's from the first answer on."""
    return replace(Site.load(SITE_FILE), set_clock=lambda now: clock.follow(now, _say))


def checkin(arguments: Arguments, view: View) -> int:
    """Join the session; with --stay keep it alive, and join each one that follows."""
    site = _site()
    command_line = Path("/proc/cmdline").read_text()
    wanted, ticket = session_id(command_line), ticket_of(command_line)
    nonce = boot_nonce(NONCE_FILE)
    while True:
        session = check_in(site, wanted, _say, nonce, timeout=arguments.timeout, ticket=ticket)
        session.save(SESSION_FILE)
        _say(f"checked in at {session.server} as {session.machine}")
        if not arguments.stay:
            return 0
        leave = stay(session, _say)
        # Nobody may be there any more to say farewell, and its user wants it in the morning.
        if leave and not is_told_to_stay(STAY_FILE):
            _say(f"nobody has said what comes now: {leave}")
            run(["systemctl", "--no-block", leave])
            return 0
        # Most machines leave now. One that was told to stay works on without another boot.
        wanted, ticket = next_session(site, STAY_FILE, _say, nonce), ""


def choice(arguments: Arguments, view: View) -> int:
    """Ask for the menu's item, go through with it, and send this PC where it belongs."""
    site = _site()
    nonce = boot_nonce(NONCE_FILE)
    desk = Desk(site, wish(Path("/proc/cmdline").read_text()), nonce)
    console_view = Console(arguments.jobs, SESSION_FILE)

    def join(session_name: str) -> None:
        session = check_in(site, session_name, _say, nonce)
        session.save(SESSION_FILE)
        heart(lambda: stay(session, _say))

    conversation = Conversation(
        desk,
        Terminals(arguments.screen),
        join,
        lambda: (console_view.title(), console_view.status()),
    )
    run(_NEXT[conversation.run()])
    return 0


def register(arguments: Arguments, view: View) -> int:
    """Ask to be registered, and wait for the administrator's decision."""
    screens = Screens(arguments.screen)
    try:
        site = _site()
        registration = Registration(site, boot_nonce(NONCE_FILE))
        approved = ask_to_register(registration, screens, site.server, arguments.leave)
    except SlipwayError as error:
        screens.say(f"This PC can't be registered: {error.message}. What helps: {error.remedy}.")
        raise
    return 0 if approved else CheckinRefused.exit_code


def _say(message: str) -> None:
    print(f"slipway: {message}", file=sys.stderr, flush=True)


def console(arguments: Arguments, view: View) -> int:
    """Follow the jobs on the screen that is standard output."""
    follow(Console(arguments.jobs, SESSION_FILE), sys.stdout, arguments.once)
    return 0
