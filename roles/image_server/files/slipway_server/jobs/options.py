# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job may be told beside its verb, whether somebody orders it or a schedule does."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..base.policy_files import Strict, one_of
from .job import Ordered

Partition = Annotated[str, Field(pattern="^disk[0-9]{1,2}:[A-Za-z0-9_]{1,32}$")]
DiskId = Annotated[str, Field(pattern="^disk[0-9]{1,2}$")]


class Options(Strict):
    """What a job may be told beside its verb, by the names of the playbooks' variables.

    The list is closed, and no text is free: what stands here ends up in a playbook.
    """

    disk_patience: Annotated[int, Field(ge=1, le=7 * 24 * 60)] | None = Field(
        default=None, description="minutes that amounts may stand still"
    )


class BackupOptions(Options):
    """Of a backup. Passphrases are none of them: they stay on the controller."""

    disk_whole: Annotated[list[Partition], Field(max_length=64)] | None = None
    disk_unclean: Annotated[str, one_of(("refuse", "whole"))] | None = None
    disk_keep_gaps: bool | None = None
    disk_max_unreadable: Annotated[int, Field(ge=0, le=1 << 50)] | None = Field(
        default=None, description="bytes"
    )
    disk_rescue_minutes: Annotated[int, Field(ge=0, le=7 * 24 * 60)] | None = None


class ReadingOptions(Options):
    """Of a comparison."""

    disk_only: Annotated[list[DiskId], Field(max_length=64)] | None = None
    disk_partitions: Annotated[list[Partition], Field(max_length=64)] | None = None
    disk_read_first: Annotated[str, one_of(("lately", "always"))] | None = None


class RestoreOptions(ReadingOptions):
    """Of a restore."""

    disk_read_back: bool | None = None
    disk_allow_degraded: bool | None = None


class NoOptions(Strict):
    """Of a verb that has none."""


# How each may be done.
JOB_OPTIONS: dict[Ordered, type[Strict]] = {
    "backup": BackupOptions,
    "restore": RestoreOptions,
    "verify": ReadingOptions,
    "wake": NoOptions,
}
