# SPDX-License-Identifier: GPL-3.0-or-later
"""Check-in: who this machine is, told to the server once, in exchange for the session's token."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slipway import __version__
from slipway.engine.devices import list_disks
from slipway.engine.errors import CheckinRefused, SlipwayError, StoreUnreachable
from slipway.net.answer import Refused, text_of
from slipway.net.facts import MAX_MACS, hardware, host_key_of, secure_boot, wired_macs
from slipway.net.session import Session
from slipway.net.site import Site

_PAUSES = (1.0, 2.0, 4.0, 8.0)
_HEARTBEAT = 10.0
_NEXT_PAUSE = 2.0
# A machine that was sent away is gone by then; one that still runs was forgotten, and may work on.
_LEAVE_SECONDS = 60.0
# How a machine may leave by itself.
LEAVES = ("reboot", "poweroff")
_REFUSED = {
    403: "look whether the address is this machine's own",
    404: "start the session again, and check the MAC addresses in the machine's host_vars",
    409: "end the session and start it again; if this repeats, another machine answers in its name",
    410: "start the session again",
}

Say = Callable[[str], None]


def check_in(
    site: Site,
    session: str,
    say: Say,
    nonce: str,
    root: Path = Path("/"),
    timeout: float | None = None,
    ticket: str = "",
) -> Session:
    """Ask until the server answers. CheckinRefused when its answer is a no.

    The `nonce` is the same for the whole boot: with it, an answer that got lost can be had again.
    The `ticket` came with the boot script, where that came over HTTP.
    """
    body = {
        "session": session,
        "macs": wired_macs(root)[:MAX_MACS],
        "host_key": host_key_of(root),
        "hardware": hardware(root)
        | {
            "secure_boot": secure_boot(root),
            # What the session may send goes by it: with disks that are not fixed, if they are named
            # to be saved.
            "disk_bytes": sum(disk.size for disk in list_disks()),
        },
        "agent_version": __version__,
        "nonce": nonce,
        **({"ticket": ticket} if ticket else {}),
    }
    try:
        return _until_answered(site, body, say, timeout)
    except Refused as no:
        raise _refusal(no) from no


def _granted(site: Site, reply: dict[str, Any]) -> Session:
    about = reply["session"]
    return Session(
        server=site.server,
        ca=str(site.ca),
        token=text_of(reply, "token"),
        session=text_of(about, "id"),
        machine=text_of(about, "machine"),
        verb=text_of(about, "verb"),
        image=str(about["image"] or ""),
        version=str(about["version"] or ""),
        # Servers of before do not say it.
        postponable="yes" if about.get("postponable") is True else "",
    )


def _until_answered(site: Site, body: dict[str, Any], say: Say, timeout: float | None) -> Session:
    client, began, tries = site.client(), time.monotonic(), 0
    while True:
        try:
            return client.ask("POST", "/v1/checkin", lambda reply: _granted(site, reply), body)
        except StoreUnreachable as error:
            if timeout is not None and time.monotonic() - began > timeout:
                raise
            say(f"no answer yet: {error.message}")
        time.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
        tries += 1


def _refusal(no: Refused) -> CheckinRefused:
    remedy = str(no.reply.get("remedy") or _REFUSED.get(no.status, "look at the service's log"))
    return CheckinRefused(f"the server refused the check-in: {no.reply['message']}", remedy)


def stay(session: Session, say: Say, beats: int | None = None) -> str:
    """Tell the server every ten seconds that the machine is still there, until it says enough.

    Return what the machine then does if nobody tells it otherwise: one of `LEAVES`, or nothing.
    """
    client = session.client(patience=0)
    while beats is None or beats > 0:
        try:
            answer = client.request("POST", "/v1/session/heartbeat", {})
            if answer.status in (401, 410):
                say("the session has ended")
                return _leave(answer.body)
        except SlipwayError as error:
            say(error.message)
        time.sleep(_HEARTBEAT)
        beats = None if beats is None else beats - 1
    return ""


def _leave(body: bytes) -> str:
    try:
        wanted = json.loads(body).get("leave")
    except (ValueError, AttributeError):
        return ""
    return wanted if wanted in LEAVES else ""


def is_told_to_stay(told_to_stay: Path) -> bool:
    """Wait for the farewell for a minute; whoever is told to leave does not see its end."""
    began = time.monotonic()
    while not told_to_stay.exists() and time.monotonic() - began < _LEAVE_SECONDS:
        time.sleep(_NEXT_PAUSE)
    return told_to_stay.exists()


def next_session(
    site: Site, told_to_stay: Path, say: Say, nonce: str, root: Path = Path("/")
) -> str:
    """Wait until a session is pending for this machine, which stayed on, and return its id.

    Nonce and host key show that this is the environment that had the last one.

    A machine that is about to leave must not take the session that it shall be booted for next:
    so nothing is asked before the file `told_to_stay` is there, or a minute has passed.
    """
    is_told_to_stay(told_to_stay)
    told_to_stay.unlink(missing_ok=True)
    say("waiting for the next session")
    client = site.client()
    body = {
        "macs": wired_macs(root)[:MAX_MACS],
        "nonce": nonce,
        "host_key": host_key_of(root),
    }
    problem = ""
    while True:
        news = ""
        try:
            if session := client.ask("POST", "/v1/pending", _pending, body):
                return session
        except Refused as no:
            news = f"the server answered {no.status}"
        except StoreUnreachable as error:
            news = error.message
        # This may last for days: say what is new, not every try.
        if news and news != problem:
            say(news)
        problem = news
        time.sleep(_NEXT_PAUSE)


def _pending(reply: dict[str, Any]) -> str:
    return "" if reply["session"] is None else text_of(reply, "session")
