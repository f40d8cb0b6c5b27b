# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a session: deciding what to send, what to show and what to say in the end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._progress import number, size, span

CHECKED_IN = "checked_in"
IMAGE_CHECKED = "image_checked"


class Waiter:
    """Waits for one session, and wakes its machine meanwhile."""

    def __init__(
        self,
        host: str,
        args: Mapping[str, Any],
        wake: Callable[[], dict[str, Any]],
        look: Callable[[int], dict[str, Any]],
        show: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what reaches the outside as functions; `look` gets the seconds it may wait."""
        self.host = host
        self.until = args["until"]
        self.timeout = args["timeout"]
        self.interval = max(1, args["interval"])
        self.wakes = args["wake"] is not None and self.until == CHECKED_IN
        # A wait in several calls: what came before, and how long this one may last.
        self._waited = args.get("waited") or 0
        self._patience = args.get("patience") or math.inf
        self._wake = wake
        self._look = look
        self._show = show
        self._clock = clock
        self._start = clock()
        self._sent: Mapping[str, Any] = args.get("sent") or {}
        self.packets = int(self._sent.get("packets", 0))
        self.reached = False

    @property
    def elapsed(self) -> float:
        """Return how long the wait has lasted, earlier calls included."""
        return self._waited + self._here

    @property
    def _here(self) -> float:
        return self._clock() - self._start

    def wait(self) -> dict[str, Any]:
        """Return the session once it is there or patience ends, else raise SlipwayError.

        `reached` says which of the two it was.
        """
        while True:
            if self.wakes:
                self._sent = self._wake()
                self.packets += self._sent["packets"]
            left = min(self.timeout - self.elapsed, self._patience - self._here)
            seen = self._look(max(1, min(self.interval, math.ceil(left))))
            session: dict[str, Any] = seen["session"]
            self.reached = seen["reached"]
            if self.reached:
                return session
            if session["state"] == "ended" and session["outcome"] != "expired":
                raise self._ended(session)
            if session["state"] == "ended" or self.elapsed >= self.timeout:
                raise self._timed_out(session)
            self._show(f"{self.host}  {self._line(session)}")
            if self._here >= self._patience:
                return session

    def _line(self, session: Mapping[str, Any]) -> str:
        if self.until == IMAGE_CHECKED:
            check = session.get("image_check") or {}
            done, total = number(check, "bytes_done"), number(check, "bytes_total")
            return f"the server reads the image through: {size(done)} of {size(total)}"
        sent = f"{_packets(self.packets)} sent, " if self._sent else ""
        fetched = "fetched" if session["boot_script_served"] else "not fetched yet"
        waited = f"{span(self.elapsed)} of {span(self.timeout)}"
        refused = _refused(session)
        return f"waiting for the machine: {sent}boot script {fetched}, {refused}{waited}"

    def _ended(self, session: Mapping[str, Any]) -> SlipwayError:
        return SlipwayError(
            f"The session of {self.host} ended meanwhile: {clean(session['outcome'])}.",
            "Somebody or something ended it; run the playbook again.",
            "session_ended",
        )

    def _timed_out(self, session: Mapping[str, Any]) -> SlipwayError:
        waited = span(self.elapsed)
        if self.until == IMAGE_CHECKED:
            return SlipwayError(
                f"The server has not read the image through within {waited}.",
                "See how busy its disks are, or raise imaging_session_image_check_timeout.",
                "image_check_slow",
            )
        served = int(session["boot_script_served"])
        others = " ".join(strangers(self.host, session))
        if others and not served:
            return SlipwayError(
                f"{self.host} did not fetch its boot script within {waited}. {others}"
                f" {self._what_was_sent()}",
                f"If one of these addresses is {self.host} itself: add the card that was seen to"
                " its machine_macs; behind a router, give it a lease of the server's DHCP or a"
                " machine_ip, or see image_server_unproven_addresses. Then run playbooks/site.yml."
                " Otherwise look for the host that asks in its name.",
                "no_boot",
            )
        if served:
            return SlipwayError(
                f"{self.host} fetched its boot script ({served} times) but did not check in within"
                f" {waited}. {self._what_was_sent()}{' ' * bool(others)}{others}",
                f"Look at the screen of {self.host}: the imaging environment says there why it"
                " can't check in. Look whether it reaches the image server on port 443, has at"
                " least 1 GiB of memory, and whether kernel and initramfs came through"
                " (access log of nginx on the image server). Its clock matters only where"
                " the site overlay is an old one: playbooks/site.yml renews it.",
                "no_check_in",
            )
        return SlipwayError(
            f"{self.host} did not boot from the network within {waited}. {self._what_was_sent()}"
            " Its boot script was fetched 0 times (GRUB's, by TFTP, is not counted).",
            f"Is {self.host} off, or already on? A machine that runs does not react to magic"
            " packets: restart it. Else see whether its MAC address is right, wake-on-LAN and"
            " network boot are enabled in its firmware, it has power, its switch port is in that"
            " subnet, and dnsmasq on the image server heard it (journalctl -u slipway-dnsmasq).",
            "no_boot",
        )

    def _what_was_sent(self) -> str:
        if not self._sent:
            return "No magic packet was sent."
        sent = self._sent
        return (
            f"Sent: {_packets(self.packets)} for {', '.join(sent['macs'])} from"
            f" {sent['interface']} ({sent['source_address']}) to {sent['broadcast']}"
            f" port {sent['port']}."
        )


def strangers(host: str, session: Mapping[str, Any]) -> list[str]:
    """Return a sentence about each address that asked for the session and was refused."""
    return [
        f"{clean(each['address'], 45)} asked for the session of {host} and was refused"
        f" ({_times(int(number(each, 'requests')))}): {clean(each['why'], 120)}."
        for each in session.get("strangers") or []
    ]


def _refused(session: Mapping[str, Any]) -> str:
    others = [clean(each["address"], 45) for each in session.get("strangers") or []]
    return f"refused to {', '.join(others)}, " if others else ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def broken_image(session: Mapping[str, Any]) -> SlipwayError | None:
    """Return the failure that a broken image means, naming its chunks."""
    check = session.get("image_check")
    if not check or check["state"] != "broken":
        return None
    found = check["problems"]
    shown = ", ".join(_problem(entry) for entry in found[:3])
    count = int(check.get("problem_count", len(found)))
    more = f" and {count - 3} more" if count > 3 else ""
    return SlipwayError(
        f"The image {session['image']}@{session['version']} is broken in the store: {shown}{more}."
        " Nothing was written to the machine.",
        "Choose another version (playbooks/images.yml lists them), and see to the disks of the"
        " image server.",
        "image_broken",
    )


def _problem(entry: Mapping[str, Any]) -> str:
    problem = clean(entry["problem"], 120)
    return f"chunk {clean(entry['digest'], 64)} ({problem})" if entry.get("digest") else problem


def _packets(count: int) -> str:
    return f"{count} magic packet{'' if count == 1 else 's'}"
