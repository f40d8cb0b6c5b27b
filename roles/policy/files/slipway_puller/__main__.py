# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m slipway_puller --config FILE --state FOLDER --socket SOCKET``: one run."""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from slipway.engine.errors import SlipwayError

from .pulling import Book, Outcome, look, pull_all
from .server import OwnServer
from .settings import SettingsError, Source, load

log = logging.getLogger("slipway_puller")


def main(arguments: list[str] | None = None) -> int:
    """Pull what is due. 1: something did not come, and people are told; 2: nothing was tried."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        sources = load(options.config)
        named = _named(sources, options.site)
        outcomes = _run(sources, named, options)
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 2
    except SlipwayError as error:
        print(f"{error.message}: {error.remedy}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({"sites": _report({name: outcomes[name] for name in named})}))
    return 1 if any(outcomes[name].problem for name in named) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="slipway_puller", description="Slipway: pulls images")
    parser.add_argument("--config", type=Path, required=True, help="the JSON settings")
    parser.add_argument("--state", type=Path, required=True, help="a folder of its own")
    parser.add_argument("--socket", default="/run/slipway/puller.sock", help="the service's")
    parser.add_argument("--now", action="store_true", help="whatever is due")
    parser.add_argument("--site", help="of all sites this one alone, whatever is due")
    parser.add_argument("--check", action="store_true", help="only say what --now would pull")
    parser.add_argument("--json", action="store_true", help="say what came as JSON")
    return parser


def _named(sources: Sequence[Source], site: str | None) -> list[str]:
    names = [each.name for each in sources]
    if site is None:
        return names
    if site not in names:
        there = f"There are {', '.join(names)}." if names else "There is none."
        raise SettingsError([f"policy_replicate has no site {site}. {there} Nothing was changed."])
    return [site]


def _run(
    sources: Sequence[Source], named: Sequence[str], options: argparse.Namespace
) -> dict[str, Outcome]:
    server, path = OwnServer(options.socket), options.state / "came.json"
    if options.check:
        book = Book(path)
        return {each.name: look(each, server, book) for each in sources if each.name in named}
    with _alone(options.state):
        book = Book(path)

        def wanted(source: Source) -> bool:
            if options.now or options.site:
                return source.name in named
            return book.is_due(source, time.time())

        return pull_all(sources, server, book, wanted)


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Wait until no other run is at work: people begin one beside that of the clock."""
    with (state / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another run is at work: this one waits for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _report(outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, object]]:
    return {name: _said(outcome) for name, outcome in outcomes.items()}


def _said(outcome: Outcome) -> dict[str, object]:
    versions = [{"version": each.name, "stored": each.stored} for each in outcome.versions]
    return {"problem": outcome.problem, "versions": versions}


if __name__ == "__main__":
    sys.exit(main())
