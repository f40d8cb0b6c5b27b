"""Filter: names that no host and no group has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

DOCUMENTATION = r"""
name: unknown_names
short_description: Names that no host and no group has
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Returns the names or patterns that match nothing in the inventory. Ansible itself ignores them
    as long as another one matches.
options:
  _input:
    description: Names and patterns, as P(slipway.imaging.limit_names#filter) returns them.
    type: list
    elements: str
    required: true
  groups:
    description: The variable C(groups).
    type: dict
    required: true
positional: [groups]
"""

EXAMPLES = r"""
- name: Refuse unknown names
  ansible.builtin.assert:
    that: names | slipway.imaging.unknown_names(groups) | length == 0
"""

RETURN = r"""
_value:
  description: The names that match nothing.
  type: list
  elements: str
"""

# group[0] and group[1:3] choose among the hosts of a group.
_SUBSCRIPT = re.compile(r"\[-?[0-9]+(?:[:-][0-9]*)?\]$")


def unknown_names(names: Iterable[str], groups: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the names and patterns that match no host and no group."""
    known = {*groups, *(host for hosts in groups.values() for host in hosts)}

    def matches(pattern: str) -> bool:
        return any(fnmatchcase(name, pattern) for name in known)

    return [name for name in names if not matches(name) and not matches(_SUBSCRIPT.sub("", name))]


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filter by its name."""
        return {"unknown_names": unknown_names}
