# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of machines, images and versions, and MAC addresses: what is allowed.

The same rules stand in the agent's ``slipway.format.names``; Ansible never imports the agent, so
this is a copy, and a test holds the two equal. Of MAC addresses the agent knows the kernel's
spelling; here they come as people and switches write them. Every name ends up in a path, a URL, a
command line or a boot script, so the rule lists what is allowed, never what is forbidden.
"""

from __future__ import annotations

import re

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError

NAME_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
VERSION_PATTERN = r"[0-9]{8}T[0-9]{6}Z(?:-[1-9][0-9]{0,3})?"
RESERVED_NAMES = frozenset({"all", "ungrouped", "localhost", "machines", "image_servers"})

_NAME = re.compile(NAME_PATTERN)
_VERSION = re.compile(VERSION_PATTERN)
# Pairs, as most print them; fours (Cisco, Huawei) or sixes (HP), as switches do; or no mark at all.
_MAC = re.compile(
    r"[0-9a-f]{2}(?:[:.-][0-9a-f]{2}){5}"
    r"|[0-9a-f]{4}[:.-][0-9a-f]{4}[:.-][0-9a-f]{4}"
    r"|[0-9a-f]{6}[:.-]?[0-9a-f]{6}"
)
_NO_DIGIT = re.compile(r"[^0-9a-f]")
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_IPV4 = re.compile(rf"{_BYTE}(?:\.{_BYTE}){{3}}")
_HOST_KEY = re.compile(r"(ssh-ed25519) ([A-Za-z0-9+/]{60,100}={0,2})(?: [\x20-\x7e]*)?")

_NAME_REMEDY = (
    "Use 1 to 63 lower-case letters, digits and '-', beginning with a letter or digit, "
    "and none of the words " + ", ".join(sorted(RESERVED_NAMES)) + "."
)


def clip(value: object, limit: int = 80) -> str:
    """Return a short printable form of an untrusted value, for messages."""
    text = ascii(str(value)) if isinstance(value, str) else f"{value!a} (not text)"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def is_name(value: object) -> bool:
    """Tell whether a value may name a machine or an image."""
    return (
        isinstance(value, str)
        and _NAME.fullmatch(value) is not None
        and value not in RESERVED_NAMES
    )


def is_version(value: object) -> bool:
    """Tell whether a value is the version of an image."""
    return isinstance(value, str) and _VERSION.fullmatch(value) is not None


def check_name(value: object, what: str = "image") -> str:
    """Return a value that may name a machine or an image, else raise SlipwayError."""
    if not is_name(value):
        raise SlipwayError(f"{clip(value)} is no {what} name.", _NAME_REMEDY, "bad_name")
    return str(value)


def split_reference(value: object) -> tuple[str, str | None]:
    """Read ``NAME`` or ``NAME@VERSION``."""
    name, at, version = str(value).partition("@") if isinstance(value, str) else (value, "", "")
    name = check_name(name)
    if not at:
        return name, None
    if not is_version(version):
        raise SlipwayError(
            f"{clip(version)} is no version of an image.",
            "Versions look like 20260131T235959Z; playbooks/images.yml lists them.",
            "bad_version",
        )
    return name, version


def check_mac(value: object) -> str:
    """Return a MAC address as ``aa:bb:cc:dd:ee:ff``, in whatever spelling it came."""
    # Also the space that no line breaks at, which tables and web pages have.
    text = value.strip(" \t\u00a0").lower() if isinstance(value, str) else ""
    if _MAC.fullmatch(text):
        return bytes.fromhex(_NO_DIGIT.sub("", text)).hex(":")
    raise SlipwayError(
        f"{clip(value)} is no MAC address.",
        'Write it as "52:54:00:12:34:56": without the quotation marks, YAML takes some for'
        " numbers.",
        "bad_mac",
    )


def check_macs(value: object) -> tuple[str, ...]:
    """Return the MAC addresses of one machine's cards; a refusal names all that are wrong."""
    remedy = 'Write machine_macs as a list such as ["52:54:00:12:34:56"], with quotation marks.'
    if not isinstance(value, list | tuple):
        raise SlipwayError(f"Its MAC addresses are no list, but {clip(value)}.", remedy, "bad_mac")
    found: dict[str, str] = {}
    problems = []
    for item in value:
        try:
            mac = _check_card(item)
        except SlipwayError as problem:
            problems.append(problem.message)
            remedy = problem.remedy
            continue
        if mac in found:
            problems.append(f"{clip(item)} stands there twice, the first time as {found[mac]}.")
        found.setdefault(mac, clip(item))
    if problems:
        raise SlipwayError(" ".join(problems), remedy, "bad_mac")
    return tuple(found)


def _check_card(value: object) -> str:
    mac = check_mac(value)
    card = bytes.fromhex(_NO_DIGIT.sub("", mac))
    # The lowest bit of the first byte marks groups of cards, everybody (all ones) among them.
    if any(card) and not card[0] & 1:
        return mac
    raise SlipwayError(
        f"{clip(value)} is no network card's MAC address: it stands for"
        f" {'a group of cards, or all' if any(card) else 'none'}.",
        'Write that of the card, such as "52:54:00:12:34:56".',
        "bad_mac",
    )


def check_ipv4(value: object) -> str:
    """Return an IPv4 address, else raise SlipwayError."""
    if not isinstance(value, str) or not _IPV4.fullmatch(value):
        raise SlipwayError(
            f"{clip(value)} is no IPv4 address.", "Write it as 192.168.1.20.", "bad_address"
        )
    return value


def check_host_key(value: object) -> str:
    """Return type and key of an Ed25519 public host key, without its comment."""
    match = _HOST_KEY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise SlipwayError(
            f"{clip(value)} is no SSH host key of the imaging environment.",
            "End the session (playbooks/session_end.yml) and start the machine again.",
            "bad_host_key",
        )
    return f"{match[1]} {match[2]}"
