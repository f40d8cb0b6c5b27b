"""``python -m slipway_server --config /etc/slipway/server.json``."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import uvloop

from . import config as configuration
from .server import StartError, bind, inherited_sockets, serve


def main(arguments: list[str] | None = None) -> int:
    """Read the configuration, take the sockets, run."""
    parser = argparse.ArgumentParser(prog="slipway_server", description="Slipway control service")
    parser.add_argument("--config", type=Path, required=True, help="the JSON configuration")
    parser.add_argument(
        "--check-config", action="store_true", help="say whether the configuration is usable"
    )
    parser.add_argument("--http-socket", type=Path, help="without systemd: the public socket")
    parser.add_argument("--admin-socket", type=Path, help="without systemd: the admin socket")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        config = configuration.load(options.config)
        if options.check_config:
            return 0
        if options.http_socket and options.admin_socket:
            http, admin = bind(options.http_socket, 0o660), bind(options.admin_socket, 0o600)
        else:
            sockets = inherited_sockets()
            http, admin = sockets["http"], sockets["admin"]
    except (configuration.ConfigError, StartError) as error:
        print(f"slipway_server: {error}", file=sys.stderr)
        return 2
    uvloop.run(serve(config, http, admin))
    return 0


if __name__ == "__main__":
    sys.exit(main())
