# SPDX-License-Identifier: GPL-3.0-or-later
"""The last word of a job whose agent could not say it: what systemd saw of its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway.cli.console import LAST_WORDS, last_record
from slipway.engine.errors import SlipwayError
from slipway.engine.run import run

_LONGEST = 600
_LINES = "5"


def last_word(log: Path, unit: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the last record of a job's log, or of type `killed` what its unit says.

    `environment` is what systemd gives to the commands behind a unit's end.
    """
    said = last_record(log)
    if said.get("type") in LAST_WORDS:
        return said
    return {
        "type": "killed",
        "result": environment.get("SERVICE_RESULT", ""),
        "status": environment.get("EXIT_STATUS", ""),
        "said": _journal(unit),
    }


def _journal(unit: str) -> str:
    """Return what the agent last said elsewhere than in its log, without systemd's own words."""
    words = ["journalctl", "--no-pager", "-q", "-o", "cat", "-n", _LINES]
    words += [f"_SYSTEMD_UNIT={unit}.service"]
    try:
        return " ".join(run(words).stdout.split())[-_LONGEST:]
    except SlipwayError:
        return ""
