# SPDX-License-Identifier: GPL-3.0-or-later
"""One application on each socket, in one event loop, under systemd or by hand."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from .apps import APPS, build
from .base.config import Config
from .service import Service

log = logging.getLogger(__name__)

# Who may connect to each when it is made by hand.
SOCKETS = {name: app.mode for name, app in APPS.items()}
_FIRST_FD = 3
_STOP_SECONDS = 5


class StartError(Exception):
    """The service can't start; the text says why."""


class _Server(uvicorn.Server):
    """A uvicorn server that leaves the signals to `serve`: there are three in this process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def inherited_sockets() -> dict[str, socket.socket]:
    """The sockets that systemd opened, by their FileDescriptorName."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        raise StartError("no sockets inherited: by hand, use --http-socket and the like")
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    count = int(os.environ.get("LISTEN_FDS", "0"))
    found = {name: socket.socket(fileno=_FIRST_FD + at) for at, name in enumerate(names[:count])}
    for name in SOCKETS:
        if name not in found:
            raise StartError(f"systemd passed no socket named {name}: it passed {sorted(found)}")
    for each in found.values():
        each.set_inheritable(False)
    return found


def bind(path: Path, mode: int) -> socket.socket:
    """A listening unix socket of our own; what an earlier process left there is replaced."""
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o777 & ~mode)
    try:
        made.bind(str(path))
    finally:
        os.umask(mask)
    return made


def notify(message: str) -> None:
    """Tell systemd, if it wants to know."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(message.encode(), address)


def _make_server(app: FastAPI) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            # Longer than nginx keeps its end, so that nginx never meets a closed connection.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
    )


async def _beat(interval: float) -> None:
    """Feed systemd's watchdog from the loop itself: a loop that hangs starves it."""
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval)


async def serve(config: Config, sockets: Mapping[str, socket.socket]) -> None:
    """Run until SIGTERM or SIGINT."""
    service = Service(config)
    await service.start()
    servers = {name: _make_server(build(name, service)) for name in APPS}

    def stop() -> None:
        notify("STOPPING=1")
        service.release_waiters()
        for server in servers.values():
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    runs = [
        asyncio.create_task(server.serve(sockets=[sockets[name]]))
        for name, server in servers.items()
    ]
    watchdog = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
    beat = asyncio.create_task(_beat(watchdog / 3)) if watchdog else None
    while not all(server.started for server in servers.values()):
        if any(run.done() for run in runs):
            break
        await asyncio.sleep(0.01)
    notify("READY=1")
    log.info("ready: store %s, machines reach it as %s", config.store_dir, config.address)
    try:
        # If one ends, by a signal or by a failure, so do the others.
        await asyncio.wait(runs, return_when=asyncio.FIRST_COMPLETED)
        stop()
        await asyncio.gather(*runs)
    finally:
        if beat is not None:
            beat.cancel()
        await service.stop()
