# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m slipway_puller --config FILE --state FOLDER --socket SOCKET``: one run."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from slipway.engine.errors import SlipwayError

from .pulling import Book, pull_all
from .server import OwnServer
from .settings import SettingsError, load


def main(arguments: list[str] | None = None) -> int:
    """Pull what is due. 1: something did not come, and people are told; 2: nothing was tried."""
    parser = argparse.ArgumentParser(prog="slipway_puller", description="Slipway: pulls images")
    parser.add_argument("--config", type=Path, required=True, help="the JSON settings")
    parser.add_argument("--state", type=Path, required=True, help="a folder of its own")
    parser.add_argument("--socket", default="/run/slipway/puller.sock", help="the service's")
    parser.add_argument("--now", action="store_true", help="whatever is due")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        sources = load(options.config)
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 2
    try:
        book = Book(options.state / "came.json")
        went_well = pull_all(sources, OwnServer(options.socket), book, everything=options.now)
    except SlipwayError as error:
        print(f"{error.message}: {error.remedy}", file=sys.stderr)
        return 2
    return 0 if went_well else 1


if __name__ == "__main__":
    sys.exit(main())
