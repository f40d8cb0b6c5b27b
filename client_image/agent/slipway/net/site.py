# SPDX-License-Identifier: GPL-3.0-or-later
"""The image server of this environment, as the site overlay names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slipway.engine.errors import UsageError
from slipway.net.client import Client
from slipway.net.nearest import nearest


@dataclass(frozen=True)
class Site:
    """What the site overlay says about the image server."""

    server: str
    ca: Path
    set_clock: Callable[[float], None] = lambda now: None
    """Is told the server's time with every answer."""

    def client(self, token: str = "") -> Client:
        """A client whose caller has patience of its own."""
        return Client(self.server, self.ca, token, patience=0, set_clock=self.set_clock)

    @classmethod
    def load(cls, path: Path) -> Site:
        """Read /etc/slipway/site.json."""
        try:
            value = json.loads(path.read_text())
            networks = dict(value.get("networks", {}))
            return cls(nearest(str(value["server"]), networks), Path(value["ca"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"the site file {path} can't be read: {error}",
                "run site.yml, which renews the site overlay, and boot again",
            ) from error
