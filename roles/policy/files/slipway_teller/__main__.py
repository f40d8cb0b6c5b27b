# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m slipway_teller --config /etc/slipway/teller/tell.json --socket SOCKET``."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path

from .sending import send
from .service import Service
from .settings import SettingsError, load
from .telling import LOOK_SECONDS, Telling


def main(arguments: list[str] | None = None) -> int:
    """Run until a signal."""
    parser = argparse.ArgumentParser(prog="slipway_teller", description="Slipway: tells people")
    parser.add_argument("--config", type=Path, required=True, help="the JSON settings")
    parser.add_argument("--socket", default="/run/slipway/teller.sock", help="the service's")
    parser.add_argument("--look-seconds", type=float, default=LOOK_SECONDS)
    parser.add_argument(
        "--check-config", action="store_true", help="say whether the settings are usable"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        sinks = load(options.config)
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 2
    if options.check_config:
        return 0
    telling = Telling(
        Service(options.socket), sinks, send, options.look_seconds, 2 * options.look_seconds
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: telling.stop())
    telling.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
