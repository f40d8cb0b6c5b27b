# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the control service's administration socket.

Local root is the administrator: the socket belongs to root, so the modules that use this run on
the image server with become.
"""

from __future__ import annotations

import getpass
import http.client
import json
import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean

ADMIN_SOCKET = "/run/slipway/admin.sock"

# The service holds a long poll for at most this long.
LONGEST_POLL = 25
# Beside a long poll's own time: a busy service on a small machine may think for a while.
ANSWER_TIMEOUT = 60
# Reading a whole image through takes minutes.
CHECK_TIMEOUT = 6 * 3600
# Judging or copying thousands of versions whose manifests were not read before.
LONG_TIMEOUT = 1800
LARGEST_ANSWER = 64 << 20
# What the service keeps of a job's last words.
LONGEST_MESSAGE = 2000

ADMIN_ARGUMENTS: dict[str, Any] = {"admin_socket": {"type": "path", "default": ADMIN_SOCKET}}

_SERVICE_REMEDY = "Look at `systemctl status slipway` and `journalctl -u slipway` there."


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class AdminApi:
    """What the administrator may ask of the service."""

    def __init__(self, path: str = ADMIN_SOCKET) -> None:
        """Remember the path of the socket; nothing is opened before the first request."""
        self.path = path

    def open_session(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for a session of one machine."""
        return self._request("POST", "/v1/sessions", dict(request))

    def sessions(self) -> list[dict[str, Any]]:
        """Return the sessions that the service remembers."""
        return list(self._request("GET", "/v1/sessions").get("sessions", []))

    def open_sessions(self, machine: str) -> list[dict[str, Any]]:
        """Return the sessions of a machine that have not ended."""
        return [
            session
            for session in self.sessions()
            if session["machine"] == machine and session["state"] != "ended"
        ]

    def session(self, identifier: str, wait: float = 0, until: str = "") -> dict[str, Any]:
        """Return one session; with a wait, once it is `until` or when the wait is over."""
        path = f"/v1/sessions/{quote(identifier, safe='')}"
        deadline = time.monotonic() + wait
        while True:
            left = max(0.0, deadline - time.monotonic())
            poll = round(min(LONGEST_POLL, left), 1)
            query = f"?{urlencode({'wait': poll, 'until': until})}" if until and poll else ""
            session = self._request("GET", path + query, timeout=poll + ANSWER_TIMEOUT)
            if not until or not poll or reached(session, until):
                return session

    def end_session(self, identifier: str, outcome: str) -> dict[str, Any]:
        """End a session; its token dies at once."""
        path = f"/v1/sessions/{quote(identifier, safe='')}?{urlencode({'outcome': outcome})}"
        return self._request("DELETE", path)

    def registrations(self) -> list[dict[str, Any]]:
        """Return the PCs that ask to be registered, and what was decided lately."""
        return list(self._request("GET", "/v1/registrations").get("registrations", []))

    def identities(self) -> list[dict[str, Any]]:
        """Return what machines said about themselves when they last checked in."""
        return list(self._request("GET", "/v1/identities").get("identities", []))

    def forget_identity(self, machine: str) -> list[dict[str, Any]]:
        """Forget what a machine said about itself; return that, or nothing."""
        answer = self._request("DELETE", f"/v1/identities/{quote(machine, safe='')}")
        return list(answer.get("identities", []))

    def decide(self, identifier: str, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Approve or refuse a registration."""
        path = f"/v1/registrations/{quote(identifier, safe='')}/{verb}"
        return self._request("POST", path, body)

    def poll_jobs(self, runner: str, holds: list[str], free: int, wait: float) -> dict[str, Any]:
        """Say which jobs a runner has; return those to begin and the ids of those to stop."""
        asked = {"runner": runner, "holds": holds, "free": free, "wait": wait}
        return self._request("POST", "/v1/jobs/poll", asked, timeout=wait + ANSWER_TIMEOUT)

    def end_job(self, identifier: str, outcome: str, message: str, remedy: str) -> dict[str, Any]:
        """Say how a job ended, in the runner's words."""
        path = f"/v1/jobs/{quote(identifier, safe='')}/end"
        how = {
            "outcome": outcome,
            "message": message[:LONGEST_MESSAGE],
            "remedy": remedy[:LONGEST_MESSAGE],
        }
        return self._request("POST", path, how)

    def job_says(self, identifier: str, text: str) -> dict[str, Any]:
        """Tell what Ansible said in a job since the last time."""
        path = f"/v1/jobs/{quote(identifier, safe='')}/output"
        return self._request("POST", path, {"text": text})

    def jobs(self) -> dict[str, Any]:
        """Return the jobs that the service remembers, and whether a runner is there."""
        return self._request("GET", "/v1/jobs")

    def order_job(self, request: Mapping[str, Any], check: bool = False) -> dict[str, Any]:
        """Order a job for a machine that is off; with `check` only look whether it could be."""
        return self._request("POST", f"/v1/jobs?check={str(check).lower()}", dict(request))

    def whereabouts(self, machine: str, macs: Sequence[str]) -> dict[str, Any]:
        """Return where a machine may be, and by what its imaging environment is known."""
        query = urlencode({"mac": list(macs)}, doseq=True)
        return self._request("GET", f"/v1/whereabouts/{quote(machine, safe='')}?{query}")

    def job(self, identifier: str) -> dict[str, Any]:
        """Return one job."""
        return self._request("GET", f"/v1/jobs/{quote(identifier, safe='')}")

    def cancel_job(self, identifier: str) -> dict[str, Any]:
        """Cancel a job: its playbook is stopped, its session ended."""
        return self._request("DELETE", f"/v1/jobs/{quote(identifier, safe='')}")

    def audit(self, most: int, before: int | None) -> list[dict[str, Any]]:
        """Return the newest lines of the audit, or those before one, oldest first."""
        query = {"most": most} | ({} if before is None else {"before": before})
        return list(self._request("GET", f"/v1/audit?{urlencode(query)}").get("lines", []))

    def menu_items(self, machine: str) -> list[str]:
        """Return the ids of the items in a machine's menu; SlipwayError when it has none."""
        return list(self._request("GET", f"/v1/menus/{quote(machine, safe='')}").get("items", []))

    def next_boots(self) -> list[dict[str, Any]]:
        """Return the orders for next boots that the service remembers."""
        return list(self._request("GET", "/v1/next-boots").get("next_boots", []))

    def set_next_boot(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Say what a machine does at its next boot, once."""
        return self._request("POST", "/v1/next-boots", dict(request))

    def cancel_next_boot(self, machine: str) -> list[dict[str, Any]]:
        """Take back the order that waits for a machine's boot; return it, or nothing."""
        answer = self._request("DELETE", f"/v1/next-boots/{quote(machine, safe='')}")
        return list(answer.get("next_boots", []))

    def images(self) -> list[dict[str, Any]]:
        """Return all images with their versions."""
        return list(self.image_list().get("images", []))

    def image_list(self) -> dict[str, Any]:
        """Return all images with their versions, and the aliases."""
        return self._request("GET", "/v1/images", timeout=LONG_TIMEOUT)

    def image(self, name: str) -> dict[str, Any]:
        """Return one image with its versions."""
        return self._request("GET", f"/v1/images/{quote(name, safe='')}")

    def aliases(self) -> list[dict[str, Any]]:
        """Return the aliases of images."""
        return list(self._request("GET", "/v1/aliases").get("aliases", []))

    def set_alias(self, alias: str, image: str) -> dict[str, Any]:
        """Let a name stand for a version, or for the newest of an image."""
        return self._request("POST", f"/v1/aliases/{quote(alias, safe='')}", {"image": image})

    def drop_alias(self, alias: str) -> None:
        """Forget an alias."""
        self._request("DELETE", f"/v1/aliases/{quote(alias, safe='')}")

    def delete_image(self, name: str, version: str | None, reason: str) -> dict[str, Any]:
        """Move an image, or a version of it, to the trash."""
        path = f"/v1/images/{quote(name, safe='')}"
        path += f"/{quote(version, safe='')}" if version else ""
        query = f"?{urlencode({'reason': reason})}" if reason else ""
        return self._request("DELETE", path + query)

    def label_image(self, name: str, label: Mapping[str, Any]) -> dict[str, Any]:
        """Note something of an image or a version, hold a version or let it go."""
        return self._request("POST", f"/v1/images/{quote(name, safe='')}/label", label)

    def copy_image(self, verb: str, name: str, version: str | None, to: str) -> dict[str, Any]:
        """Copy or rename an image, or a version of it."""
        wanted = {"to": to} | ({"version": version} if version else {})
        path = f"/v1/images/{quote(name, safe='')}/{verb}"
        return self._request("POST", path, wanted, timeout=LONG_TIMEOUT)

    def trash(self) -> list[dict[str, Any]]:
        """Return what was deleted and can be taken back."""
        return list(self._request("GET", "/v1/trash").get("trash", []))

    def undelete(self, name: str, version: str | None) -> dict[str, Any]:
        """Take a version, or all of an image, back from the trash."""
        wanted = {"name": name} | ({"version": version} if version else {})
        return self._request("POST", "/v1/trash/undelete", wanted)

    def empty_trash(self, name: str | None, version: str | None) -> None:
        """Remove versions from the trash for good; without a name, all."""
        wanted = ({"name": name} if name else {}) | ({"version": version} if version else {})
        self._request("POST", "/v1/trash/empty", wanted)

    def schedules(self) -> list[dict[str, Any]]:
        """Return all schedules, with their last windows and the next."""
        return list(self._request("GET", "/v1/schedules").get("schedules", []))

    def schedule(self, name: str) -> dict[str, Any]:
        """Return one schedule, with how each machine's night ended."""
        return self._request("GET", f"/v1/schedules/{quote(name, safe='')}")

    def change_schedule(
        self, name: str, verb: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Run a schedule now (`run`), `pause` it, or `skip` a window of it."""
        return self._request("POST", f"/v1/schedules/{quote(name, safe='')}/{verb}", body)

    def policy_effect(self, policy: Mapping[str, Any]) -> dict[str, Any]:
        """Say what a policy would change, and what of it can't be meant."""
        return self._request("POST", "/v1/policy/effect", {"policy": policy}, timeout=LONG_TIMEOUT)

    def prune_plan(self) -> dict[str, Any]:
        """Return what no rule keeps."""
        return self._request("GET", "/v1/prune", timeout=LONG_TIMEOUT)

    def prune(self, confirm: str | None) -> dict[str, Any]:
        """Move to the trash what no rule keeps."""
        wanted = {"confirm": confirm} if confirm else {}
        return self._request("POST", "/v1/prune", wanted, timeout=LONG_TIMEOUT)

    def upkeep(self) -> dict[str, Any]:
        """Return what was done last to look after images."""
        return self._request("GET", "/v1/upkeep")

    def collect(self) -> dict[str, Any]:
        """Free what nobody names."""
        return self._request("POST", "/v1/collect", timeout=CHECK_TIMEOUT)

    def begin_scrub(self, older_than_days: float) -> dict[str, Any]:
        """Begin to read the chunks that were not read for so many days."""
        return self._request("POST", "/v1/scrub", {"older_than_days": older_than_days})

    def manifest(self, name: str, version: str) -> dict[str, Any]:
        """Return the manifest of one version."""
        return self._request("GET", f"/v1/images/{quote(name, safe='')}/{quote(version, safe='')}")

    def check(self, name: str, version: str) -> dict[str, Any]:
        """Read one version through and return what was found."""
        path = f"/v1/images/{quote(name, safe='')}/{quote(version, safe='')}/check"
        return self._request("POST", path, {}, timeout=CHECK_TIMEOUT)

    def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        timeout: float = ANSWER_TIMEOUT,
    ) -> dict[str, Any]:
        connection = _UnixConnection(self.path, timeout)
        payload = None if body is None else json.dumps(body)
        headers = {"Slipway-By": account()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, payload, headers)
            response = connection.getresponse()
            status, answer = response.status, response.read(LARGEST_ANSWER)
        except (OSError, http.client.HTTPException) as failure:
            raise _unreachable(self.path, failure) from failure
        finally:
            connection.close()
        return _decode(status, answer)


def account() -> str:
    """Return who asks: the account that became root here, by a name that the service takes."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        # A user without a name.
        name = str(os.getuid())
    return re.sub("[^A-Za-z0-9._@-]", "_", name)[:64].lstrip(".@-") or "root"


def reached(session: Mapping[str, Any], until: str) -> bool:
    """Tell whether a session is where a wait wants it, or can't get there any more."""
    if session["state"] == "ended":
        return True
    if until == "image_checked":
        check = session.get("image_check")
        return check is None or check["state"] != "running"
    if until == "finished":
        return session.get("result") is not None
    return bool(session["state"] == until)


def _unreachable(path: str, failure: Exception) -> SlipwayError:
    if isinstance(failure, PermissionError):
        remedy = "The socket is root's alone: run the task on the image server with become."
    elif isinstance(failure, FileNotFoundError):
        remedy = (
            "Run playbooks/site.yml for the image server; run this module there, not elsewhere."
        )
    else:
        remedy = _SERVICE_REMEDY
    reason = getattr(failure, "strerror", None) or clean(failure) or type(failure).__name__
    return SlipwayError(
        f"The control service does not answer on {path}: {reason}.", remedy, "service_unreachable"
    )


def _decode(status: int, answer: bytes) -> dict[str, Any]:
    try:
        document = json.loads(answer)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise SlipwayError(
            f"The control service answered {status} and no JSON object: {clean(answer[:200])}",
            _SERVICE_REMEDY,
            "bad_answer",
        )
    if status >= 400:
        raise SlipwayError(
            clean(document.get("message", f"The control service answered {status}.")),
            clean(document.get("remedy", _SERVICE_REMEDY)),
            clean(document.get("error", "failed")),
        )
    return document
