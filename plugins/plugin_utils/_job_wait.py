# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Following a job that the job runner plays: what to show, and what its end means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._progress import line, summary

PAUSE_SECONDS = 5.0
_DONE = "done"


def follow(
    host: str,
    look: Callable[[], Mapping[str, Any]],
    show: Callable[[str], None],
    sleep: Callable[[float], None],
) -> dict[str, Any]:
    """Show what a job does until it has ended; return the job, or raise SlipwayError.

    `look` asks the service for the job with its session.
    """
    shown = ""
    while True:
        seen = look()
        [job] = seen["jobs"]
        session = seen.get("session") or {}
        if job["state"] == "ended":
            break
        now = f"{host}  {_waits(job, session)}" if not _at_work(session) else _works(host, session)
        if now != shown:
            show(now)
        shown = now
        sleep(PAUSE_SECONDS)
    if job["outcome"] != _DONE:
        raise SlipwayError(
            f"The job of {host} has ended as {clean(job['outcome'], 20)}:"
            f" {clean(job['message'], 2000) or 'no reason was given.'}",
            clean(job["remedy"], 2000),
            "job_" + clean(job["outcome"], 20),
        )
    if record := session.get("result"):
        show(summary(host, record))
    return dict(job)


def _at_work(session: Mapping[str, Any]) -> bool:
    return bool(session.get("progress"))


def _works(host: str, session: Mapping[str, Any]) -> str:
    return line(host, session["progress"])


def _waits(job: Mapping[str, Any], session: Mapping[str, Any]) -> str:
    if job["state"] == "queued":
        return f"waits for its turn, place {int(job['place'])}"
    if not session:
        return "the job runner begins"
    if session["state"] == "requested":
        fetched = "fetched" if session["boot_script_served"] else "not fetched yet"
        return f"waiting for the machine: boot script {fetched}"
    return "the machine is there"
