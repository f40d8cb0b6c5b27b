# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the audit as a table for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._table import table

DOCUMENTATION = r"""
name: audit_table
short_description: The audit as a table for a person
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - One line for each action, the newest last.
options:
  _input:
    description: The C(lines) that M(slipway.imaging.audit_info) returned.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the audit
  ansible.builtin.debug:
    msg: "{{ found.lines | slipway.imaging.audit_table }}"
"""

RETURN = r"""
_value:
  description: Lines.
  type: list
  elements: str
"""

_HEADING = ("NUMBER", "WHEN (UTC)", "WHO", "FROM", "WHAT", "OF", "OUTCOME", "BEFORE", "AFTER")


def audit_table(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the actions as lines."""
    rows = [_row(line) for line in lines]
    if not rows:
        return ["No actions."]
    return table([_HEADING, *rows])


def _row(line: Mapping[str, Any]) -> tuple[str, ...]:
    who = f"{clean(line['who'], 64)} ({clean(line['role'], 20)})".strip()
    words = ("where", "verb", "subject", "outcome", "before", "after")
    at = clean(line["at"], 30)[:19].replace("T", " ")
    return (str(int(line["number"])), at, who, *(clean(line[key] or "", 90) for key in words))


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[[Any], list[str]]]:
        """Return the filter by its name."""
        return {"audit_table": audit_table}
