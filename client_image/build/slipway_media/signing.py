# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of what was made, and the site's signature below it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from slipway_media import tools
from slipway_media.errors import MediaError

SUMS = "SHA256SUMS"
SIGNATURE = f"{SUMS}.sig"
# What the signature is good for: `ssh-keygen -Y verify -n slipway-media`.
NAMESPACE = "slipway-media"


def names(key: Path | None) -> list[str]:
    """The files that `sign` makes."""
    return [SUMS, SIGNATURE] if key else [SUMS]


def sign(folder: Path, discs: Iterable[Mapping[str, Any]], key: Path | None) -> None:
    """Write digests and names of files, as sha256sum reads them, and sign that with an SSH key."""
    lines = [f"{disc['sha256']}  {disc['file']}\n" for disc in discs]
    (folder / SUMS).write_text("".join(lines))
    if key is None:
        return
    if not key.is_file():
        raise MediaError(
            f"There is no key {key} to sign the media with.",
            "Run playbooks/site.yml, which makes it.",
        )
    tools.run("ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(key), str(folder / SUMS))
