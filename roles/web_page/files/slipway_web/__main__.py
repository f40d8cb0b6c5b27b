# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m slipway_web --config /etc/slipway/web/web.json``."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from pathlib import Path

import uvicorn

from . import views
from .app import build
from .asking import Site
from .config import Config, ConfigError, load
from .passwords import Checker
from .service import Service
from .sign_ins import SignIns
from .tries import OF_ACCOUNT, OF_ADDRESS, Tries

_FIRST_FD = 3


def main(arguments: list[str] | None = None) -> int:
    """Read the configuration, take the socket, serve until told to stop."""
    parser = argparse.ArgumentParser(prog="slipway_web", description="Slipway's page")
    parser.add_argument("--config", type=Path, required=True, help="the JSON configuration")
    parser.add_argument("--check-config", action="store_true", help="say whether it is usable")
    parser.add_argument("--socket", type=Path, help="without systemd: where to listen")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        config = load(options.config)
        if options.check_config:
            return 0
        listening = _bind(options.socket) if options.socket else _inherited()
    except ConfigError as error:
        print(f"slipway_web: {error}", file=sys.stderr)
        return 2
    serve(config, listening)
    return 0


def serve(config: Config, listening: socket.socket) -> None:
    """Serve the page on a socket."""
    site = Site(
        config,
        Service(config.service_socket),
        SignIns(config),
        Checker(),
        Tries(OF_ACCOUNT),
        Tries(OF_ADDRESS),
        views.environment(),
    )
    settings = uvicorn.Config(
        build(site),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(settings).run(sockets=[listening])
    site.sign_ins.close()


def _inherited() -> socket.socket:
    """The socket that systemd opened."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        raise ConfigError("no socket inherited: by hand, use --socket")
    return socket.socket(fileno=_FIRST_FD)


def _bind(path: Path) -> socket.socket:
    """A socket of our own; what an earlier process left there is replaced."""
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o117)
    try:
        made.bind(str(path))
    finally:
        os.umask(mask)
    return made


if __name__ == "__main__":
    sys.exit(main())
