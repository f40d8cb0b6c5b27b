# SPDX-License-Identifier: GPL-3.0-or-later
"""The service in a world that a test makes: its clock set otherwise, or without promises."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path

from slipway_server.__main__ import main
from slipway_server.images import promises

from .conftest import Service

DAY = 86400
_time, _time_ns = time.time, time.time_ns


def _run(ahead: str, promising: bool, arguments: list[str]) -> int:
    """As the service, with a clock that is ahead by the seconds in a file."""
    place = Path(ahead)
    time.time = lambda: _time() + int(place.read_text())
    time.time_ns = lambda: _time_ns() + int(place.read_text()) * 10**9
    if not promising:
        promises.Promises.keep = _does_not_keep  # type: ignore[method-assign]
    return main(arguments)


def _does_not_keep(_: promises.Promises, path: Path) -> bool:
    return path.exists()


class World:
    """What a service believes of time, and whether it keeps its word."""

    def __init__(self, folder: Path) -> None:
        """A clock that is right."""
        self._ahead = folder / "ahead"
        self.set_clock(0)

    def set_clock(self, ahead: int) -> None:
        """Set it ahead by so many seconds, or back; the service sees it at once."""
        new = self._ahead.with_suffix(".new")
        new.write_text(str(ahead))
        new.rename(self._ahead)

    def main(self, *, promising: bool = True) -> Callable[[list[str]], int]:
        """What `Service.main` is to be."""
        return functools.partial(_run, str(self._ahead), promising)


def make(folder: Path, *, promising: bool = True, **config: object) -> tuple[Service, World]:
    """A service in a world of its own, not started yet."""
    service, world = Service(folder, policy_dir=str(folder / "policy"), **config), World(folder)
    service.main = world.main(promising=promising)
    return service, world
