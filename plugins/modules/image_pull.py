#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: pull images from other sites now."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_pull
short_description: Pull images from other sites now
description:
  - The server does it by itself as often as C(policy_replicate) says. This does it now, and waits
    for the end. In check mode the sites are asked, and nothing is sent.
  - What came before something failed is there all the same, and the next run goes on.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  command:
    description: The program that pulls, as the role C(policy) runs it.
    type: list
    elements: str
    required: true
  site:
    description: The site of C(policy_replicate) that is pulled from. Without it, all.
    type: str
"""

EXAMPLES = r"""
- name: Pull what is missing here
  ansible.builtin.import_role:
    name: slipway.imaging.policy
    tasks_from: pull_now
"""

RETURN = r"""
pulled:
  description: The versions that came, or would come, with the bytes of their chunks there.
  type: list
  elements: dict
  returned: success
  sample: [{site: berlin, version: pc1@20261123T203318Z, stored: 1460000000}]
"""

import json
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._errors import (
    SlipwayError,
    clean,
    fail,
)


def answer_of(code: int, output: str, errors: str) -> dict[str, dict[str, Any]]:
    """Return what the program said of each site."""
    try:
        sites: dict[str, dict[str, Any]] = json.loads(output.splitlines()[-1])["sites"]
    except (ValueError, LookupError, TypeError):
        raise SlipwayError(
            clean(errors) or f"The program that pulls ended with {code}, without a word.",
            ""
            if code == 2
            else "Look at the service (systemctl status slipway), and run it again.",
        ) from None
    return sites


def result_of(sites: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the keys of a task, and of its diff."""
    pulled = [
        {"site": clean(site), "version": clean(each["version"]), "stored": int(each["stored"])}
        for site, outcome in sites.items()
        for each in outcome["versions"]
    ]
    diff = {
        "before_header": "versions of other sites",
        "after_header": "that are here",
        "before": "",
        "after": "".join(f"{each['version']} of {each['site']}\n" for each in pulled),
    }
    return {"changed": bool(pulled), "pulled": pulled, "diff": [diff]}


def problem_of(
    sites: dict[str, dict[str, Any]], came: int, check_mode: bool
) -> SlipwayError | None:
    """Return why something did not come, if so."""
    problems = [
        f"{clean(site)}: {clean(each['problem'])}"
        for site, each in sites.items()
        if each["problem"]
    ]
    if not problems:
        return None
    left = "Nothing was changed." if check_mode else f"{came} versions came, and stay."
    return SlipwayError(
        f"{'; '.join(problems)}. {left}",
        "See to it; the next run goes on where this one ended.",
    )


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "command": {"type": "list", "elements": "str", "required": True},
            "site": {"type": "str"},
        },
        supports_check_mode=True,
    )
    words = [*module.params["command"], "--json", "--check" if module.check_mode else "--now"]
    if module.params["site"] is not None:
        words.append(f"--site={module.params['site']}")
    try:
        sites = answer_of(*module.run_command(words))
        result = result_of(sites)
        failure = problem_of(sites, len(result["pulled"]), module.check_mode)
    except SlipwayError as refused:
        fail(module, refused)
    if failure is not None:
        module.fail_json(**result | failure.as_result())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
