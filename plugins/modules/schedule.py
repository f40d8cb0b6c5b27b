#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: run a schedule now, pause it, or leave one window out."""

from __future__ import annotations

DOCUMENTATION = r"""
module: schedule
short_description: Run a schedule now, pause it, or leave one window out
description:
  - Schedules are made and changed in the inventory, C(policy_schedules), alone.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes
  - slipway.imaging.admin
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
    details: A window that is open is run already.
options:
  name:
    description: Name of the schedule.
    type: str
    required: true
  state:
    description:
      - V(run) begins a window now, as long as the others, which ends when the next begins; it
        counts more than a pause. V(paused) orders nothing until O(until), V(resumed) goes on.
        V(skipped) leaves the window out that is open, or else the next.
      - What is at work is finished, whatever is said.
    type: str
    choices: [run, paused, resumed, skipped]
    required: true
  until:
    description: A date, or a time such as C(2026-12-24T12:00), in the schedule's time zone.
    type: str
"""

EXAMPLES = r"""
- name: Save now what is due
  slipway.imaging.schedule:
    name: nightly
    state: run
  become: true
"""

RETURN = r"""
schedule:
  description: The schedule as it is then.
  type: dict
  returned: success
"""

from datetime import UTC, datetime
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import (
    ADMIN_ARGUMENTS,
    AdminApi,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail


def change(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Do what is wanted, unless it is so already."""
    api, name, state = AdminApi(params["admin_socket"]), params["name"], params["state"]
    before = api.schedule(name)
    if state == "run":
        changed, verb, body = before["open"] is None, "run", None
    elif state == "skipped":
        window = before["open"] or (before["next"] or {}).get("key")
        changed, verb, body = before["skips"] is None or before["skips"] != window, "skip", None
    else:
        until = params["until"] if state == "paused" else None
        wanted = _moment(until, before["time_zone"]) if until else None
        changed, verb, body = before["paused_until"] != wanted, "pause", {"until": until}
    if changed and not check_mode:
        return {"changed": True, "schedule": api.change_schedule(name, verb, body)}
    return {"changed": changed, "schedule": before}


def _moment(text: str, zone: str) -> str:
    """A local time as the service shows it, in UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise SlipwayError(
            f"{text} is neither a date nor a time such as 2026-12-24T12:00.",
            "Say it with until. Nothing was changed.",
            "bad_request",
        ) from None
    local = found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(zone))
    return local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["run", "paused", "resumed", "skipped"],
                "required": True,
            },
            "until": {"type": "str"},
            **ADMIN_ARGUMENTS,
        },
        required_if=[("state", "paused", ("until",))],
        supports_check_mode=True,
    )
    try:
        module.exit_json(**change(module.params, module.check_mode))
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
