# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides about images, for who changes them and for who says what a change would do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..base.policy_files import PolicyFile
from ..base.threads import Run
from .aliases import Aliases
from .catalog import Catalog, Named
from .images import Images
from .labels import Labels
from .policy import Policy


@dataclass(frozen=True)
class Known:
    """Made once, inside the running event loop."""

    images: Images
    catalog: Catalog
    labels: Labels
    aliases: Aliases
    policy: PolicyFile[Policy]
    named: Callable[[], Awaitable[Named]]
    """Who names what, at this moment."""
    run: Run
    """Does blocking work in a thread."""
