# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: what a collection or a scrub did, for a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._progress import number, size, span

DOCUMENTATION = r"""
name: upkeep_lines
short_description: What a collection or a scrub did, for a person
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - A few lines with counts and sizes, and what somebody should see to.
options:
  _input:
    description: The outcome that M(slipway.imaging.store_upkeep) returned.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what was freed
  ansible.builtin.debug:
    msg: "{{ done.outcome | slipway.imaging.upkeep_lines }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

_COUNTS = {
    "removed": "removed: nobody named them",
    "kept": "kept: versions name them",
    "pending": "pending: nobody names them, but they were sent or promised lately",
    "read": "read",
}


def upkeep_lines(outcome: Mapping[str, Any]) -> list[str]:
    """Return an outcome as lines."""
    if not outcome:
        return ["Nothing was done yet."]
    when = datetime.fromtimestamp(number(outcome, "at"), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    lines = [f"{when}, {span(number(outcome, 'seconds'))}"]
    lines += [
        f"{number(outcome, key):.0f} chunks ({size(number(outcome, f'{key}_bytes'))}) {words}"
        for key, words in _COUNTS.items()
        if key in outcome
    ]
    if number(outcome, "missing"):
        lines.append(f"{number(outcome, 'missing'):.0f} chunks are missing: see images.yml")
    lines += [
        f"{clean(each['digest'], 64)}: {clean(each['problem'], 200)}"
        for each in outcome.get("bad", [])
    ]
    lines += [f"broken: {clean(each, 100)}" for each in outcome.get("broken", [])]
    if outcome.get("problem"):
        lines.append(clean(outcome["problem"]))
    return lines


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[[Any], list[str]]]:
        """Return the filter by its name."""
        return {"upkeep_lines": upkeep_lines}
