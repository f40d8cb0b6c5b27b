# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception of the lab."""


class LabError(Exception):
    """Something the lab cannot do, and what the reader can do about it."""

    def __init__(self, message: str, remedy: str = "") -> None:
        """Keep the message and the remedy apart, for callers that show both."""
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        """One line, remedy included."""
        return f"{self.message} {self.remedy}".strip()
