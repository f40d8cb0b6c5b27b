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
  - One line for each version, the newest of each image first, with what the version holds and what
    it alone has on disk, why it is kept and until when; then aliases, notes, and the media that
    were made of versions.
options:
  _input:
    description: The images that M(slipway.imaging.image_info) returned.
    type: list
    elements: dict
    required: true
  aliases:
    description: The aliases that M(slipway.imaging.image_info) returned.
    type: list
    elements: dict
    default: []
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

_HEADING = (
    "IMAGE", "MADE (UTC)", "USED", "STORED", "ITS OWN", "CHECKED", "KEPT BECAUSE", "GOES", "STATE",
)  # fmt: skip
_NUMBERS = (2, 3, 4)


def image_table(
    images: Iterable[Mapping[str, Any]], aliases: Iterable[Mapping[str, Any]] = ()
) -> list[str]:
    """Return the lines of a table of images."""
    images = list(images)
    rows = [
        _row(image["name"], entry)
        for image in images
        # The service says which is older.
        for entry in reversed(image["versions"])
    ]
    if not rows:
        return ["There is no image yet: playbooks/backup.yml makes one."]
    lines = table([_HEADING, *rows], _NUMBERS)
    lines += [
        f"{clean(alias['alias'], 63)} is {clean(alias['image'], 100)}"
        + (" (policy_aliases)" if alias.get("fixed") else "")
        for alias in aliases
    ]
    lines += [f"{image['name']}: {clean(image['note'])}" for image in images if image.get("note")]
    lines += [
        _made(image["name"], entry["version"], media)
        for image in images
        for entry in reversed(image["versions"])
        for media in entry.get("media", [])
    ]
    return lines


def _made(name: str, version: str, media: Mapping[str, Any]) -> str:
    discs = len(media["discs"])
    what = "one medium" if discs == 1 else f"{discs} discs"
    return (
        f"{clean(name, 63)}@{clean(version, 30)}: {what} for {clean(media['medium'], 20)}, "
        f"{clean(media['name'], 63)}, {size(number(media, 'bytes'))}, made {_time(media['made'])}, "
        f"shim {clean(media['shim'], 40)}"
    )


def _row(name: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    own = entry.get("own")
    return (
        f"{clean(name, 63)}@{clean(entry['version'], 30)}",
        _time(entry.get("created")),
        size(number(entry, "bytes")),
        size(number(entry, "stored")),
        "" if own is None else size(number(entry, "own")),
        _time(entry.get("checked"))[:10],
        clean(", ".join(entry.get("kept_because", [])), 100),
        _goes(entry),
        _state(entry),
    )


def _time(text: object) -> str:
    return clean(text or "", 30)[:19].replace("T", " ")


def _goes(entry: Mapping[str, Any]) -> str:
    if entry.get("kept_because") == []:
        return "now"
    return clean(entry.get("goes_when") or "", 10)


def _state(entry: Mapping[str, Any]) -> str:
    if entry.get("problem"):
        return "damaged"
    lost, lacking = number(entry, "unreadable"), number(entry, "lacking")
    words = [f"broken, {lacking:.0f} chunks are missing or bad"] if lacking else []
    if lost:
        words.append(f"degraded, {size(lost)} unreadable")
    if entry.get("ahead"):
        words.append("its version says a time to come: a clock was wrong")
    if entry.get("note"):
        words.append(clean(entry["note"], 200))
    return "; ".join(words)


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filter by its name."""
        return {"image_table": image_table}
