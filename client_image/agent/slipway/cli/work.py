# SPDX-License-Identifier: GPL-3.0-or-later
"""A verb at work: its store, its disks, its meter, and everyone who wants to know."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from slipway.cli.arguments import Arguments
from slipway.cli.views import View, as_slipway_error, degraded_lines, error_json
from slipway.engine import devices
from slipway.engine.devices import BlockDisk
from slipway.engine.errors import UsageError
from slipway.engine.folder_store import FolderStore
from slipway.engine.lazy import free_memory
from slipway.engine.mapping import How, resolve_whole
from slipway.engine.progress import Meter, Record
from slipway.engine.result import Result
from slipway.engine.set_store import SetStore, is_medium
from slipway.engine.store import Store
from slipway.net.client import WORK_PATIENCE, Client
from slipway.net.http_store import HttpStore
from slipway.net.session import Reporter, Session

# As much as cryptsetup takes from a key file.
_MAX_KEY = 8 << 20


@dataclass
class Work:
    """A verb at work: its store, its meter, and everyone who wants to know."""

    store: Store
    session: Session | None
    meter: Meter
    view: View
    reporter: Reporter | None
    began: float

    def warning(self, message: str) -> None:
        """Tell the view and the server."""
        if self.reporter is not None:
            self.reporter.warning(message)
        self.view.warning(message)

    def done(self, result: Result) -> None:
        """Tell the view and the server."""
        result = replace(result, seconds=round(time.monotonic() - self.began, 2))
        for warning in (*degraded_lines(result), *result.warnings):
            self.warning(warning)
        if self.reporter is not None:
            self.reporter.finish(result.to_json())
        self.view.result(result)


@contextmanager
def at_work(
    arguments: Arguments, view: View, create: bool = False, patience: float = WORK_PATIENCE
) -> Generator[Work, None, None]:
    """Work, and tell the server how it ends, whatever happens."""
    session = Session.load(arguments.session) if arguments.session else None
    reporter = Reporter(session, arguments.job) if session is not None else None

    def sink(record: Record) -> None:
        view.progress(record)
        if reporter is not None:
            reporter.progress(record)

    try:
        with closing(_open_store(arguments, session, create, patience)) as store:
            meter = Meter(sink)
            if isinstance(store, HttpStore):
                meter = Meter(sink, waiting=lambda: store.waiting)
            yield Work(store, session, meter, view, reporter, time.monotonic())
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
    folders = [Path(each) for each in arguments.store]
    if is_medium(folders[0]):
        return SetStore(folders, memory=free_memory())
    if len(folders) > 1:
        raise UsageError(
            f"{folders[0]} is no disc of a set, which alone may be several folders",
            "name one store, or the discs of one set",
        )
    [place] = arguments.store
    if "://" not in place:
        return FolderStore(Path(place), create, trusting=not arguments.read_first)
    if arguments.token_file is None or arguments.ca is None:
        raise UsageError("a store at a URL needs --token-file and --ca", "or use --session FILE")
    try:
        token = arguments.token_file.read_text().strip()
    except OSError as error:
        raise UsageError(f"{arguments.token_file} can't be read: {error.strerror}") from error
    return HttpStore(Client(place, arguments.ca, token, patience))


def chosen(arguments: Arguments) -> tuple[BlockDisk, ...]:
    """The disks that are named, else all fixed ones."""
    if arguments.disks:
        return tuple(devices.find_disk(name) for name in arguments.disks)
    return devices.fixed_disks()


def manner(arguments: Arguments, disks: tuple[BlockDisk, ...]) -> How:
    """What decides what is saved how."""
    return How(
        whole=resolve_whole(arguments.whole, disks),
        keys=_keys(arguments, disks),
        unclean=arguments.unclean,
        keep_gaps=arguments.keep_gaps,
    )


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
