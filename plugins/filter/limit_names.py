"""Filter: the names that a --limit asks for."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

DOCUMENTATION = r"""
name: limit_names
short_description: The names that a --limit asks for
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Splits the value of C(--limit) into its patterns and leaves out exclusions (V(!x)),
    intersections (V(&x)) and files (V(@x)), which may well match nothing.
options:
  _input:
    description: The value of C(ansible_limit).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the names
  ansible.builtin.debug:
    msg: "{{ 'pc1,pc2:!pc3' | slipway.imaging.limit_names }}"  # ['pc1', 'pc2']
"""

RETURN = r"""
_value:
  description: Names and patterns.
  type: list
  elements: str
"""

# A colon or comma separates, but not inside the brackets of a range or an IPv6 address.
_SEPARATOR = re.compile(r"[,:](?![^\[]*\])")


def limit_names(limit: str) -> list[str]:
    """Return the patterns of a limit that should each match something."""
    patterns = [pattern.strip() for pattern in _SEPARATOR.split(limit)]
    return [pattern for pattern in patterns if pattern and pattern[0] not in "!&@~"]


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[[Any], list[str]]]:
        """Return the filter by its name."""
        return {"limit_names": limit_names}
