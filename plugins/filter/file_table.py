# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: what stands in an image, as lines for a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._progress import number, size
from ansible_collections.slipway.imaging.plugins.plugin_utils._table import table

DOCUMENTATION = r"""
name: file_table
short_description: What stands in an image, as lines for a person
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - One line for each partition, each name in a folder, or the file that was asked for.
options:
  _input:
    description: The answer of the program that looked into the image.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show a folder
  ansible.builtin.debug:
    msg: "{{ answer | slipway.imaging.file_table }}"
"""

RETURN = r"""
_value:
  description: The lines, what they are about first.
  type: list
  elements: str
"""

_LONGEST = 255


def file_table(answer: Mapping[str, Any]) -> list[str]:
    """Return the lines of a folder, of a list of partitions, or of a file."""
    image, path = clean(answer["image"]), clean(answer["path"], _LONGEST)
    if answer["kind"] == "partitions":
        lines = [
            f"{clean(each['partition'])}  {clean(each['content'])}" for each in answer["partitions"]
        ]
        return [f"{image} has these file systems; say which: -e partition=", *lines]
    where = f"{path} on {clean(answer['partition'])} of {image}"
    if answer["kind"] == "file":
        said = f"{where}: {size(number(answer, 'size'))}, {clean(answer['modified'])}"
        return [said.rstrip(", ")]
    entries = answer["entries"]
    if not entries:
        return [f"{where} is empty"]
    return [where, *table([_row(each) for each in entries], {0})]


def _row(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    amount = "" if entry["size"] is None else size(number(entry, "size"))
    name = clean(entry["name"], _LONGEST) + ("/" if entry["folder"] else "")
    return amount, clean(entry["modified"]), name


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[[Any], list[str]]]:
        """Return the filter by its name."""
        return {"file_table": file_table}
