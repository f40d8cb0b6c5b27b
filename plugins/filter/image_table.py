# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: images as a table for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._progress import number, size
from ansible_collections.slipway.imaging.plugins.plugin_utils._table import table

DOCUMENTATION = r"""
name: image_table
short_description: Images as a table for a person
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - One line for each version, the newest of each image first.
options:
  _input:
    description: The images that M(slipway.imaging.image_info) returned.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: List all images
  ansible.builtin.debug:
    msg: "{{ store.images | slipway.imaging.image_table }}"
"""

RETURN = r"""
_value:
  description: The lines of the table, a heading first.
  type: list
  elements: str
"""

_HEADING = ("IMAGE", "MADE (UTC)", "DATA", "ON DISK", "STATE")
_NUMBERS = (2, 3)


def image_table(images: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a table of images."""
    rows = [
        _row(image["name"], entry)
        for image in images
        # The service says which is older.
        for entry in reversed(image["versions"])
    ]
    if not rows:
        return ["There is no image yet: playbooks/backup.yml makes one."]
    return table([_HEADING, *rows], _NUMBERS)


def _row(name: str, entry: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    return (
        f"{clean(name, 63)}@{clean(entry['version'], 30)}",
        clean(entry.get("created", ""))[:19].replace("T", " "),
        size(number(entry, "bytes")),
        size(number(entry, "stored")),
        _state(entry),
    )


def _state(entry: Mapping[str, Any]) -> str:
    if entry.get("problem"):
        return "damaged"
    lost = number(entry, "unreadable")
    words = [f"degraded, {size(lost)} unreadable"] if lost else []
    if entry.get("ahead"):
        words.append("its version says a time to come: a clock was wrong")
    return "; ".join(words)


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[[Any], list[str]]]:
        """Return the filter by its name."""
        return {"image_table": image_table}
