# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the paths of all routes: of the right form, and mostly of nobody."""

from __future__ import annotations

VALUES = {
    "session_id": "0" * 16,
    "job_id": "0" * 16,
    "digest": "0" * 64,
    "name": "pc1",
    "version": "20260101T000000Z",
    "mac": "52-54-00-00-00-01",
    "key": "0" * 16,
    "machine": "pc1",
    "alias": "alias-of-nobody",
    "sink": "mail",
}


def filled(path: str, **known: str) -> str:
    """The path of a route with a value for each parameter: one that is ``known``, or ours."""
    return path.format(**VALUES | known)
