# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs, one file each: `HELP`, `arguments` that it can be told, and `run`.

A verb turns arguments into calls of the engine and its answers into a view. This is their list.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from slipway.cli.arguments import Arguments
from slipway.cli.verbs import (
    backup,
    checkin,
    choice,
    compare,
    console,
    list_images,
    probe,
    register,
    restore,
    verify,
)
from slipway.cli.views import View


@dataclass(frozen=True)
class Verb:
    """One word of the command line."""

    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Arguments, View], int]


def _verb(module: ModuleType) -> Verb:
    return Verb(module.HELP, module.arguments, module.run)


VERBS: dict[str, Verb] = {
    "probe": _verb(probe),
    "backup": _verb(backup),
    "restore": _verb(restore),
    "compare": _verb(compare),
    "verify": _verb(verify),
    "list": _verb(list_images),
    "checkin": _verb(checkin),
    "choice": _verb(choice),
    "register": _verb(register),
    "console": _verb(console),
}
