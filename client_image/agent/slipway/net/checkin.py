# SPDX-License-Identifier: GPL-3.0-or-later
"""Check-in: who this machine is, told to the server once, in exchange for the session's token."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway import __version__
from slipway.engine.devices import clean, list_disks
from slipway.engine.errors import CheckinRefused, SlipwayError, StoreUnreachable, UsageError
from slipway.net.answer import Refused, text_of
from slipway.net.client import Client
from slipway.net.nearest import nearest
from slipway.net.session import Session

_HOST_KEY = "etc/ssh/ssh_host_ed25519_key.pub"
_SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
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
_ETHERNET = "1"
MAX_MACS = 16

Say = Callable[[str], None]


@dataclass(frozen=True)
class Site:
    """What the site overlay says about the image server."""

    server: str
    ca: Path
    set_clock: Callable[[float], None] = lambda now: None
    """Is told the server's time with every answer."""

    def client(self, token: str = "") -> Client:
        """A client whose caller has patience of its own."""
        return Client(self.server, self.ca, token, patience=0, set_clock=self.set_clock)

    @classmethod
    def load(cls, path: Path) -> Site:
        """Read /etc/slipway/site.json."""
        try:
            value = json.loads(path.read_text())
            networks = dict(value.get("networks", {}))
            return cls(nearest(str(value["server"]), networks), Path(value["ca"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"the site file {path} can't be read: {error}",
                "run site.yml, which renews the site overlay, and boot again",
            ) from error


def boot_word(command_line: str, key: str) -> str:
    """What the boot script said by `key=VALUE` on the kernel's command line; empty if nothing."""
    for word in command_line.split():
        name, _, value = word.partition("=")
        if name == key and value and value.isascii() and value.isprintable():
            return value
    return ""


def session_id(command_line: str) -> str:
    """The session that the boot script named on the kernel's command line."""
    if named := boot_word(command_line, "slipway.session"):
        return named
    raise CheckinRefused(
        "this machine was not started for a session", "start one with a playbook, e.g. backup.yml"
    )


def ticket_of(command_line: str) -> str:
    """What the boot script gave to show at check-in; empty where TFTP named the session."""
    return boot_word(command_line, "slipway.ticket")


def wired_cards(root: Path = Path("/")) -> list[dict[str, str]]:
    """The machine's own wired network cards: MAC address, driver, vendor and device."""
    cards = []
    for card in sorted((root / "sys/class/net").glob("*")):
        device = card / "device"
        if not device.exists() or (card / "phy80211").exists():
            continue
        mac = _read(card / "address")
        if _read(card / "type") == _ETHERNET and mac.strip("0:"):
            ids = [_read(device / key).removeprefix("0x") for key in ("vendor", "device")]
            driver = device / "driver"
            name = clean(driver.resolve().name) if driver.exists() else ""
            cards.append({"mac": mac, "driver": name, "device": ":".join(filter(None, ids))})
    return cards


def wired_macs(root: Path = Path("/")) -> list[str]:
    """MAC addresses of the machine's own wired network cards."""
    return [card["mac"] for card in wired_cards(root)]


def hardware(root: Path = Path("/")) -> dict[str, Any]:
    """What the machine is made of, for the inventory's eyes."""
    dmi = root / "sys/class/dmi/id"
    cpus = _values(root / "proc/cpuinfo", "model name")
    memory = _values(root / "proc/meminfo", "MemTotal")
    return {
        "vendor": _read(dmi / "sys_vendor"),
        "model": _read(dmi / "product_name"),
        "serial": _read(dmi / "product_serial"),
        "uuid": _read(dmi / "product_uuid"),
        "cpu": cpus[0] if cpus else "",
        "cpu_count": len(cpus),
        "memory": int(memory[0].split()[0]) * 1024 if memory else 0,
        "firmware": firmware(root),
        "disks": [
            {"path": str(disk.path), "size": disk.size, **vars(disk.identity)}
            for disk in list_disks()
            if disk.fixed
        ],
        "cards": wired_cards(root),
    }


def firmware(root: Path = Path("/")) -> str:
    """`uefi` or `bios`."""
    return "uefi" if (root / "sys/firmware/efi").is_dir() else "bios"


def secure_boot(root: Path = Path("/")) -> bool | None:
    """Whether the firmware starts what is signed and nothing else; None where it can't say."""
    try:
        # Four bytes of attributes come before the variable's one.
        return (root / _SECURE_BOOT).read_bytes()[4:] == b"\1"
    except OSError:
        return None


def boot_nonce(path: Path) -> str:
    """This boot's nonce, made at the first call."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32))
    return path.read_text()


def host_key_of(root: Path = Path("/")) -> str:
    """The machine's public SSH host key, without its comment."""
    host_key = _read(root / _HOST_KEY)
    if not host_key:
        raise CheckinRefused(
            "this machine has no SSH host key yet", "look at the unit that makes it"
        )
    return " ".join(host_key.split()[:2])


def _read(path: Path) -> str:
    try:
        return clean(path.read_text(errors="replace"))
    except OSError:
        return ""


def _values(path: Path, key: str) -> list[str]:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return []
    pairs = (line.partition(":") for line in lines)
    return [clean(value) for name, _, value in pairs if name.strip() == key]


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
