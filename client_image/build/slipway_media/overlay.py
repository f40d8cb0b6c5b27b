# SPDX-License-Identifier: GPL-3.0-or-later
"""The overlay of restore media: what makes the imaging environment work without any server.

Like the site overlay, it is a second initrd. It holds the agent and what the medium is for, and
nothing of the site: no key, no token, no certificate.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

from slipway_image import cpio
from slipway_image.plan import HOME

_AGENT = HOME.parent / "agent/slipway"
_MEDIUM = HOME.parent / "build/medium"
_PROGRAM = "usr/local/bin/slipway"


def members() -> list[cpio.Member]:
    """Return what all restore media have in common; equal inputs give equal members."""
    found = [cpio.regular(_PROGRAM, (HOME / "site" / _PROGRAM).read_bytes(), 0o755)]
    for root, place in ((_AGENT, "usr/lib/slipway/slipway/"), (_MEDIUM, "")):
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
                name = f"{place}{path.relative_to(root)}"
                found.append(cpio.regular(name, path.read_bytes(), mode))
    return found


def digest(found: list[cpio.Member]) -> str:
    """SHA-256 of the overlay, whatever it is packed for."""
    return hashlib.sha256(_packed(found)).hexdigest()


def pack(found: list[cpio.Member], about: Mapping[str, Any]) -> bytes:
    """The overlay of one set of media; `about` is what it says to the agent."""
    text = json.dumps(about, indent=2, sort_keys=True) + "\n"
    return _packed([*found, cpio.regular("etc/slipway/medium.json", text.encode())])


def _packed(found: list[cpio.Member]) -> bytes:
    archive = io.BytesIO()
    cpio.write(cpio.with_parents(found), archive)
    return archive.getvalue()
