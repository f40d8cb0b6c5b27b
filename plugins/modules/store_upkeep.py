#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: free or read the chunks of the store now."""

from __future__ import annotations

DOCUMENTATION = r"""
module: store_upkeep
short_description: Free or read the chunks of the store now
description:
  - The service does both by itself. This does it now, beside running backups and restores, and
    waits for the end.
  - Reading the store waits while machines read it. RV(waits_for) says for which.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes
  - slipway.imaging.admin
attributes:
  check_mode:
    support: full
    details: Nothing is done; what was done last is returned.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details: Reading is always done. Collecting changes something when there was something to free.
options:
  work:
    description:
      - V(collection) removes chunks that no version names, once they are old enough.
      - V(scrub) reads chunks and compares each with its name.
    type: str
    choices: [collection, scrub]
    required: true
  older_than_days:
    description: For V(scrub), chunks that were read lately are left out.
    type: float
    default: 0
  begin:
    description: For V(scrub), V(false) begins nothing and waits for what is under way.
    type: bool
    default: true
  wait:
    description: For V(scrub), V(false) returns as soon as it has begun.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Free what nobody names
  slipway.imaging.store_upkeep:
    work: collection
  delegate_to: img
  become: true
"""

RETURN = r"""
outcome:
  description:
    - What was done. In check mode, and without O(wait), what was done last. Empty if nothing ever
      was.
  type: dict
  returned: success
  sample: {removed: 12, removed_bytes: 24000000, pending: 0, kept: 5000, problem: null}
waits_for:
  description: The restores and comparisons that a scrub under way waits for.
  type: list
  elements: str
  returned: success
  sample: ["restore of pc1 (session 26a9ee4fb8b0edb3)"]
"""

import time
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import (
    ADMIN_ARGUMENTS,
    AdminApi,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail

_LOOK_SECONDS = 1.0


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Do the work, or return what was done last."""
    api = AdminApi(params["admin_socket"])
    scrub = params["work"] == "scrub"
    if scrub and not check_mode:
        if params["begin"]:
            api.begin_scrub(params["older_than_days"])
        while params["wait"] and "scrub" in api.upkeep()["under_way"]:
            time.sleep(_LOOK_SECONDS)
    if scrub or check_mode:
        now = api.upkeep()
        outcome = now[params["work"]] or {}
        return {"changed": False, "outcome": outcome, "waits_for": now["waits_for"]}
    outcome = api.collect()
    return {"changed": outcome["removed"] > 0, "outcome": outcome, "waits_for": []}


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "work": {"type": "str", "choices": ["collection", "scrub"], "required": True},
            "older_than_days": {"type": "float", "default": 0},
            "begin": {"type": "bool", "default": True},
            "wait": {"type": "bool", "default": True},
            **ADMIN_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**work(module.params, module.check_mode))
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
