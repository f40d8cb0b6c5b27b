# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that can go wrong, in about ten kinds. Each says what happened and what helps.

Type and exit code are part of the command line's contract: README.md lists them.
"""

from __future__ import annotations

from typing import ClassVar


class SlipwayError(Exception):
    """Base of all errors that a user is meant to see."""

    type: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 70
    usual_remedy: ClassVar[str] = "run it with --debug and report this"

    def __init__(self, message: str, remedy: str = "") -> None:
        """Both are plain sentences without a line break."""
        super().__init__(message)
        self.message = message
        self.remedy = remedy or self.usual_remedy


class UsageError(SlipwayError):
    """The command line, a name or a configuration file can't be meant like this."""

    type = "usage"
    exit_code = 2
    usual_remedy = "slipway VERB --help says what is expected"


class NotFound(SlipwayError):
    """The store has no such image or version."""

    type = "not_found"
    exit_code = 3
    usual_remedy = "slipway list shows what there is"


class StoreUnreachable(SlipwayError):
    """The store did not answer, also after many tries."""

    type = "store_unreachable"
    exit_code = 4
    usual_remedy = "check the network and the image server"


class StoreRefused(SlipwayError):
    """The store answered, and said no: the session's token, verb or image does not fit."""

    type = "store_refused"
    exit_code = 5
    usual_remedy = "look at the service's log on the image server"


class StoreFull(SlipwayError):
    """There is no room left in the store."""

    type = "store_full"
    exit_code = 6
    usual_remedy = "make room in the store"


class ImageDamaged(SlipwayError):
    """A chunk or a manifest is missing or is not what its name says."""

    type = "image_damaged"
    exit_code = 7
    usual_remedy = "use another version"


class SourceRefused(SlipwayError):
    """A disk or partition can't be saved as it is: in use, hibernated, dirty, damaged table."""

    type = "source_refused"
    exit_code = 8
    usual_remedy = "save it sector by sector with --whole"


class TargetRefused(SlipwayError):
    """No disk, or not this disk, may be written: identity, size, sector size, in use."""

    type = "target_refused"
    exit_code = 9
    usual_remedy = "name another disk with --target"


class DeviceError(SlipwayError):
    """A disk could not be read or written."""

    type = "device_error"
    exit_code = 10
    usual_remedy = "check the disk's health (smartctl) and its cable"


class ToolError(SlipwayError):
    """A program that the agent needs is missing or failed."""

    type = "tool_failed"
    exit_code = 11
    usual_remedy = "run it with --debug, and the program by hand"


class CheckinRefused(SlipwayError):
    """The server does not want this machine in that session, and asking again won't help."""

    type = "checkin_refused"
    exit_code = 12
    usual_remedy = "start the session again"


class ImageDegraded(SlipwayError):
    """The version lacks sectors that its source disk could not read, and nobody accepted that."""

    type = "image_degraded"
    exit_code = 13
    usual_remedy = "use another version, or accept the loss with --allow-degraded"


class Interrupted(SlipwayError):
    """The user or the system asked the agent to stop."""

    type = "interrupted"
    exit_code = 130
    usual_remedy = "run it again: it goes on where it ended"
