# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: jobs as a table for a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._table import table

DOCUMENTATION = r"""
name: job_table
short_description: Jobs as a table for a person
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - One line for each job, the newest last, with where it came from, who wanted it, and whether its
    machine waits in the imaging environment or the job wakes it; then what waits for machines' next
    boots.
options:
  _input:
    description: What M(slipway.imaging.job_info) returned.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: List the jobs
  ansible.builtin.debug:
    msg: "{{ found | slipway.imaging.job_table }}"
"""

RETURN = r"""
_value:
  description: Lines.
  type: list
  elements: str
"""

_HEADING = ("JOB", "MACHINE", "WHAT", "IMAGE", "FROM", "BY", "PC", "STATE", "SINCE (UTC)", "NOTE")


def job_table(found: Mapping[str, Any]) -> list[str]:
    """Return the jobs as lines."""
    lines = table([_HEADING, *map(_row, found["jobs"])]) if found["jobs"] else ["No jobs."]
    lines += [
        f"{clean(order['machine'], 63)} does {clean(order['item'], 32)} at its next boot, once"
        for order in found["next_boots"]
    ]
    lines += [_stranger(each) for each in found.get("strangers", [])]
    if not found["runner"]:
        lines.append("The job runner is not there: see `systemctl status slipway-runner`.")
    return lines


def _row(job: Mapping[str, Any]) -> tuple[str, ...]:
    state = str(job["outcome"] or job["state"])
    since = job["ended_at"] or job["started_at"] or job["created"]
    return (
        clean(job["id"], 16),
        clean(job["machine"], 63),
        clean(job["item"] or job["verb"], 32),
        clean(job["image"] or "", 90),
        clean(job["origin"], 20).replace("_", " "),
        clean(job["by"] or "its user", 64),
        clean(job["arrival"], 20),
        f"{state}, place {job['place']}" if state == "queued" else clean(state, 20),
        clean(since, 30)[:19].replace("T", " "),
        clean(job["message"], 200),
    )


def _stranger(found: Mapping[str, Any]) -> str:
    what = clean(found["kind"], 20).replace("_", " ")
    return (
        f"{clean(found['address'], 45)} asked for the {what} of"
        f" {clean(found['machine'], 63) or 'cards that are not its own'}"
        f" and was refused: {clean(found['why'], 120)}"
    )


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[[Any], list[str]]]:
        """Return the filter by its name."""
        return {"job_table": job_table}
