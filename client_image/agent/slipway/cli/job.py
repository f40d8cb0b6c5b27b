# SPDX-License-Identifier: GPL-3.0-or-later
"""A verb at work: what all of them need to reach a store and to say what goes on."""

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
from slipway.engine.progress import Meter, Record
from slipway.engine.result import Result
from slipway.engine.store import Store
from slipway.net.client import WORK_PATIENCE, Client
from slipway.net.http_store import HttpStore
from slipway.net.session import Reporter, Session


@dataclass
class Job:
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
def at_work(
    arguments: Arguments, view: View, create: bool = False, patience: float = WORK_PATIENCE
) -> Generator[Job, None, None]:
    """A verb's store, opened, and its progress on its way; `create` makes a folder that is none."""
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
            yield Job(store, session, meter, view, reporter, time.monotonic())
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


def chosen(arguments: Arguments) -> tuple[BlockDisk, ...]:
    """The disks that were named, or all fixed ones."""
    if arguments.disks:
        return tuple(devices.find_disk(name) for name in arguments.disks)
    return devices.fixed_disks()
