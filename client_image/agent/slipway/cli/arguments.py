# SPDX-License-Identifier: GPL-3.0-or-later
"""The arguments of all verbs, as one typed value."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

from slipway.engine.content.base import Policy
from slipway.engine.rescue import MAX_SECONDS, MAX_UNREADABLE


@dataclass
class Arguments(argparse.Namespace):
    """Everything that any verb can be told."""

    verb: str = ""
    json: bool = False
    debug: bool = False
    disks: list[str] = field(default_factory=list)
    image: str = ""
    name: str = ""
    store: list[str] = field(default_factory=list)
    token_file: Path | None = None
    ca: Path | None = None
    session: Path | None = None
    job: str = ""
    unit: str = ""
    log: Path = Path()
    level: int = 3
    threads: int = 0
    whole: list[str] = field(default_factory=list)
    unclean: Policy = "refuse"
    keep_gaps: bool = False
    luks_key: list[str] = field(default_factory=list)
    target: list[str] = field(default_factory=list)
    disk: list[str] = field(default_factory=list)
    partition: list[str] = field(default_factory=list)
    grow: list[str] = field(default_factory=list)
    move: list[str] = field(default_factory=list)
    read_back: bool = False
    read_first: bool = False
    dry_run: bool = False
    allow_degraded: bool = False
    max_unreadable: int = MAX_UNREADABLE
    rescue_minutes: int = int(MAX_SECONDS / 60)
    stay: bool = False
    timeout: float | None = None
    jobs: Path = Path("/run/slipway/jobs")
    once: bool = False
    screen: list[Path] = field(default_factory=list)
    leave: bool = False
    to: str = ""
