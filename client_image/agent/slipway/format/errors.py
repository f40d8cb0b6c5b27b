# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with data that claims to be in Slipway's format."""


class FormatError(ValueError):
    """Data does not follow FORMAT.md. The message says what and where, in one line."""


class FrameError(FormatError):
    """A chunk's frame does not hold the content that its name promises."""


class FrameTooLong(FrameError):
    """A frame, or what it says it unpacks to, is longer than any cell may be."""
