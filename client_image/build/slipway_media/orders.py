# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: `python3 -m slipway_media.orders --orders DIR --outcomes DIR ...`.

Makes the media that the control service asks for: one file for each set, `NAME.json`, by the names
of the options of `slipway_media.restore`. How it went is told in a file of the same name; an order
that was answered is not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway.format import FormatError, check_name

from slipway_media import restore
from slipway_media.plan import Order

_OPTIONS = {"image": str, "medium": str, "unattended": bool, "countdown": int, "rule": dict}


def main(argv: list[str] | None = None) -> int:
    """Make what is asked for; 1 if something could not be made."""
    parser = argparse.ArgumentParser(prog="slipway_media.orders", description=__doc__)
    parser.add_argument("--orders", type=Path, required=True, help="folder of what is asked for")
    parser.add_argument("--outcomes", type=Path, required=True, help="folder for how it went")
    restore.add_places(parser)
    args = parser.parse_args(argv)
    args.outcomes.mkdir(mode=0o750, exist_ok=True)
    failed, seen = False, True
    # What was asked for meanwhile is made, too.
    while seen:
        seen = False
        for path in sorted(args.orders.glob("[a-z0-9]*.json")):
            if (said := _unanswered(path, args.outcomes)) is None:
                continue
            seen = True
            problem = _make(path.stem, said, args)
            failed = failed or problem is not None
            _answer(args.outcomes / path.name, said.get("id"), problem)
    return int(failed)


def _unanswered(path: Path, outcomes: Path) -> dict[str, Any] | None:
    """What is asked for; None: it was made, or is asked for no more."""
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(said, dict) or said.get("id") == _record(outcomes / path.name).get("id"):
        return None
    return said


def _record(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _make(name: str, said: dict[str, Any], args: argparse.Namespace) -> str | None:
    """Make one set; why it can't be made."""
    try:
        order = _order(name, said, args)
        restore.make(order, restore.place_of(args))
    except restore.REFUSALS as error:
        return restore.words(error)
    return None


def _order(name: str, said: dict[str, Any], args: argparse.Namespace) -> Order:
    options = {key: said[key] for key in _OPTIONS if key in said}
    if wrong := [key for key, value in options.items() if type(value) is not _OPTIONS[key]]:
        raise FormatError(f"{', '.join(wrong)} of the order can't be meant")
    return Order(
        store=args.store, environment=args.environment, name=check_name(name, "medium"), **options
    )


def _answer(path: Path, order: object, problem: str | None) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"id": order, "at": now, "problem": problem}) + "\n")
    new.rename(path)


if __name__ == "__main__":
    sys.exit(main())
