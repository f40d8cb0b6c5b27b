"""Everything that can go wrong, in about ten kinds. Each says what happened and what helps.

Type and exit code are part of the command line's contract: README.md lists them.
"""

from __future__ import annotations

from typing import ClassVar


class SlipwayError(Exception):
    """Base of all errors that a user is meant to see."""

    type: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, remedy: str = "") -> None:
        """Both are plain sentences without a line break."""
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class UsageError(SlipwayError):
    """The command line, a name or a configuration file can't be meant like this."""

    type = "usage"
    exit_code = 2


class NotFound(SlipwayError):
    """The store has no such image or version."""

    type = "not_found"
    exit_code = 3


class StoreUnreachable(SlipwayError):
    """The store did not answer, also after many tries."""

    type = "store_unreachable"
    exit_code = 4


class StoreRefused(SlipwayError):
    """The store answered, and said no: the session's token, verb or image does not fit."""

    type = "store_refused"
    exit_code = 5


class StoreFull(SlipwayError):
    """There is no room left in the store."""

    type = "store_full"
    exit_code = 6


class ImageDamaged(SlipwayError):
    """A chunk or a manifest is missing or is not what its name says."""

    type = "image_damaged"
    exit_code = 7


class SourceRefused(SlipwayError):
    """A disk or partition can't be saved as it is: in use, hibernated, dirty, damaged table."""

    type = "source_refused"
    exit_code = 8


class TargetRefused(SlipwayError):
    """No disk, or not this disk, may be written: identity, size, sector size, in use."""

    type = "target_refused"
    exit_code = 9


class DeviceError(SlipwayError):
    """A disk could not be read or written."""

    type = "device_error"
    exit_code = 10


class ToolError(SlipwayError):
    """A program that the agent needs is missing or failed."""

    type = "tool_failed"
    exit_code = 11


class CheckinRefused(SlipwayError):
    """The server does not want this machine in that session, and asking again won't help."""

    type = "checkin_refused"
    exit_code = 12


class Interrupted(SlipwayError):
    """The user or the system asked the agent to stop."""

    type = "interrupted"
    exit_code = 130
