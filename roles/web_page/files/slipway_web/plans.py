# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans: what is confirmed is what was shown, and neither what became of it nor it once more."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any


def digest_of(*shown: Any) -> str:
    """A short name of what somebody has seen: another plan has another one."""
    text = json.dumps(shown, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def same(digest: str, said: str) -> bool:
    """Whether a form confirms that plan."""
    return hmac.compare_digest(digest.encode(), said.encode("utf-8", "replace"))
