# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs, one file each: `HELP`, `arguments` that it can be told, and `run`.

A verb turns arguments into calls of the engine and its answers into a view. This is their list.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from slipway.cli.arguments import Arguments
from slipway.cli.views import View

# Name, file. Of those that are not asked for none is loaded: most of a start is that.
VERBS = {
    "probe": "probe",
    "backup": "backup",
    "restore": "restore",
    "compare": "compare",
    "verify": "verify",
    "copy": "copy",
    "list": "list_images",
    "checkin": "checkin",
    "choice": "choice",
    "register": "register",
    "ended": "ended",
    "console": "console",
    "medium": "medium",
}


@dataclass(frozen=True)
class Verb:
    """One word of the command line."""

    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Arguments, View], int]


def verb(name: str) -> Verb:
    """Load a verb of the list."""
    module = import_module(f"{__name__}.{VERBS[name]}")
    return Verb(module.HELP, module.arguments, module.run)
