# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception of the plugins: what happened, what to do about it, and its type."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

# Control characters (C0, DEL, C1) could move the cursor or recolour an administrator's terminal.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


class SlipwayError(Exception):
    """Something went wrong that the user can do something about."""

    def __init__(self, message: str, remedy: str = "", error: str = "failed") -> None:
        """Keep what happened, what to do about it and the type of the error."""
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.error = error

    def __str__(self) -> str:
        """Return message and remedy as one text."""
        return f"{self.message} Remedy: {self.remedy}" if self.remedy else self.message

    def as_result(self) -> dict[str, Any]:
        """Return the keys of a failed task."""
        return {"msg": str(self), "error": self.error}


def fail(module: AnsibleModule, failure: SlipwayError) -> NoReturn:
    """End a module with the one message of a failure."""
    module.fail_json(**failure.as_result())
    raise AssertionError("fail_json returned")


def clean(value: object, limit: int = 2000) -> str:
    """Return text that came from a machine without anything that could act on a terminal."""
    text = _UNPRINTABLE.sub(" ", str(value)).strip()
    return text if len(text) <= limit else text[: limit - 3] + "..."
