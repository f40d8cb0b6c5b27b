# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception of this package."""


class MediaError(Exception):
    """No medium was made: what happened, and what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        """Keep message and remedy apart."""
        super().__init__(f"{message} Remedy: {remedy}")
        self.message = message
        self.remedy = remedy
