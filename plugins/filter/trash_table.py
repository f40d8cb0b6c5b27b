# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the trash as a table for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import clean

DOCUMENTATION = r"""
name: trash_table
short_description: The trash as a table for a person
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - One line for each deleted version.
options:
  _input:
    description: The trash that M(slipway.imaging.store_info) returned.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the trash
  ansible.builtin.debug:
    msg: "{{ store.trash | slipway.imaging.trash_table }}"
"""

RETURN = r"""
_value:
  description: The lines of the table, a heading first.
  type: list
  elements: str
"""

_HEADING = ("IMAGE", "DELETED (UTC)", "BY", "WHY", "REMOVED AFTER (UTC)")


def trash_table(trash: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a table of deleted versions."""
    rows = [
        (
            f"{clean(each['name'], 63)}@{clean(each['version'], 30)}",
            clean(each["at"], 20).replace("T", " "),
            clean(each["by"], 40),
            clean(each["why"], 100),
            clean(each["goes"], 20).replace("T", " "),
        )
        for each in trash
    ]
    if not rows:
        return ["The trash is empty."]
    table = [_HEADING, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEADING))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[[Any], list[str]]]:
        """Return the filter by its name."""
        return {"trash_table": trash_table}
