# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: what can't be meant by the groups of a page's users."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._names import clip

DOCUMENTATION = r"""
name: group_problems
short_description: What can't be meant by the groups of a page's users
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Looks whether each group that a user or a token has is one of the inventory that can hold
    machines. A group without a host is let through.
options:
  _input:
    description: Users and tokens, each with O(_input[].name) and maybe O(_input[].groups).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The account's name.
        type: str
      groups:
        description: Names of groups.
        type: list
        elements: str
  groups:
    description: The variable C(groups).
    type: dict
    required: true
positional: [groups]
"""

EXAMPLES = r"""
- name: Refuse groups that can't be
  ansible.builtin.assert:
    that: web_page_users | slipway.imaging.group_problems(groups) | length == 0
"""

RETURN = r"""
_value:
  description: Sentences, each with its remedy.
  type: list
  elements: str
"""

# Every machine is in these: who is bounded by them is not bounded.
_OF_ALL = ("all", "machines", "ungrouped")


def group_problems(
    accounts: Sequence[Mapping[str, Any]], groups: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return what can't be meant."""
    machines = set(groups.get("machines", ()))
    known = [
        name
        for name, hosts in groups.items()
        if name not in _OF_ALL and (not hosts or not machines.isdisjoint(hosts))
    ]
    return [
        f"{clip(each.get('name', ''))[1:-1]}: {said}"
        for each in accounts
        if isinstance(each, Mapping) and "groups" in each
        for said in _problems(each["groups"], known, groups)
    ]


def _problems(
    named: object, known: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    if not isinstance(named, Sequence) or isinstance(named, str) or not named:
        yield "groups is a list with one name or more; leave it out for all machines."
        return
    for name in named:
        if name in known:
            continue
        if name in _OF_ALL:
            yield f"group {name} is every machine: leave groups out."
        elif name in groups:
            yield f"group {name} holds no machine."
        else:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            yield f"the inventory has no group {clip(name)[1:-1]}{hint}."


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filter by its name."""
        return {"group_problems": group_problems}
