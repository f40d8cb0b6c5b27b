# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m slipway_server --config /etc/slipway/server.json``."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import uvloop

from .base import config as configuration
from .base.state_file import StateError
from .server import SOCKETS, StartError, bind, inherited_sockets, serve

# The unit does not start the service again for this one: an administrator has to see to it.
BAD_STATE = 65


def main(arguments: list[str] | None = None) -> int:
    """Read the configuration, take the sockets, run."""
    parser = argparse.ArgumentParser(prog="slipway_server", description="Slipway control service")
    parser.add_argument("--config", type=Path, required=True, help="the JSON configuration")
    parser.add_argument(
        "--check-config", action="store_true", help="say whether the configuration is usable"
    )
    for name in SOCKETS:
        parser.add_argument(f"--{name}-socket", type=Path, help=f"without systemd: socket {name}")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        config = configuration.load(options.config)
        if options.check_config:
            return 0
        paths = {name: getattr(options, f"{name}_socket") for name in SOCKETS}
        if all(paths.values()):
            sockets = {name: bind(path, SOCKETS[name]) for name, path in paths.items()}
        else:
            sockets = inherited_sockets()
    except (configuration.ConfigError, StartError) as error:
        print(f"slipway_server: {error}", file=sys.stderr)
        return 2
    try:
        uvloop.run(serve(config, sockets))
    except StateError as error:
        print(f"slipway_server: {error}", file=sys.stderr)
        return BAD_STATE
    return 0


if __name__ == "__main__":
    sys.exit(main())
