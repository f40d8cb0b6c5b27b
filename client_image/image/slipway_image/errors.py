# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error of the build: what went wrong, and what to do about it."""


class BuildError(Exception):
    """A build that cannot go on; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        """Keep the message and the remedy apart, so that a view can set them apart."""
        super().__init__(message)
        self.remedy = remedy
