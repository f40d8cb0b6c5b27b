# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the pattern of a play, refused where no host matches it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

import ansible.context
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.plugin_utils._selection import (
    check_hosts,
    check_limit,
)

DOCUMENTATION = r"""
name: some_host
short_description: The pattern of a play, refused where no host matches it
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Ansible skips a play without hosts and ends well, as if its work had been done.
  - Refuses a limit that Ansible does not go by, too - a variable C(ansible_limit) of one's own, and
    all but the last C(--limit).
  - A syntax check has no inventory, and is let through.
options:
  _input:
    description: The pattern.
    type: str
    required: true
  groups:
    description: The variable C(groups).
    type: dict
    required: true
  limit:
    description: The variable C(ansible_limit), V(none) where no limit was given.
    type: str
    required: true
positional: [groups, limit]
"""

EXAMPLES = r"""
- name: Do nothing without a word
  hosts: "{{ 'image_servers' | slipway.imaging.some_host(groups, ansible_limit | default(none)) }}"
"""

RETURN = r"""
_value:
  description: The pattern.
  type: str
"""


def some_host(pattern: str, groups: Mapping[str, Sequence[str]], limit: str | None) -> str:
    """Return the pattern."""
    if ansible.context.CLIARGS.get("syntax"):
        return pattern
    try:
        check_limit(limit, ansible.context.CLIARGS, sys.argv[1:])
        return check_hosts(pattern, groups, limit)
    except SlipwayError as failure:
        raise AnsibleFilterError(str(failure)) from failure


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return the filter by its name."""
        return {"some_host": some_host}
