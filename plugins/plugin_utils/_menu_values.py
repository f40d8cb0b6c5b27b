# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values that a menu is written with: each checked, or refused with a remedy."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.module_utils._names import clip, split_reference

_CARD = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MAX_TITLE = 200
MAX_SCRIPT = 65536


def check_keys(keys: Iterable[object], known: Sequence[str], what: str, prefix: str = "") -> None:
    """Refuse keys that mean nothing, and say which one may have been meant."""
    for key in keys:
        if key in known:
            continue
        near = difflib.get_close_matches(str(key), known, n=1)
        hint = f"Did you mean {prefix}{near[0]}? " if near else ""
        names = ", ".join(f"{prefix}{name}" for name in known)
        raise SlipwayError(
            f"{what} has no {prefix}{clip(key)[1:-1] if isinstance(key, str) else clip(key)}.",
            f"{hint}There are {names}.",
            "bad_menu",
        )


def plain(value: object) -> str:
    """Return text on one line without anything that acts on a terminal or has no meaning alone.

    Control and format characters (also those that turn the direction of text), surrogates,
    unassigned code points and line separators become blanks; runs of blanks become one.
    """
    if not isinstance(value, str):
        raise SlipwayError(f"{clip(value)} is no text.", "Put it in quotation marks.", "bad_menu")
    kept = "".join(
        char if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp") else " "
        for char in unicodedata.normalize("NFC", value)
    )
    return " ".join(kept.split())


def one_of(value: object, choices: Sequence[str], what: str) -> str:
    """Return one of the words that are known."""
    if isinstance(value, str) and value in choices:
        return str(value)
    raise SlipwayError(
        f"{what} is {clip(value)}.", f"It is one of {', '.join(choices)}.", "bad_menu"
    )


def number(value: object, what: str, most: int, least: int = 0) -> int:
    """Return a whole number; text of digits counts, as -e and INI inventories give nothing else."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return int(value)
    raise SlipwayError(
        f"{what} is {clip(value)}.", f"Give a whole number from {least} to {most}.", "bad_menu"
    )


def truth(value: object, what: str) -> bool:
    """Return yes or no."""
    if isinstance(value, bool):
        return value
    raise SlipwayError(f"{what} is {clip(value)}.", "Write true or false.", "bad_menu")


def listed(value: object, what: str) -> list[object]:
    """Return a list; nothing is an empty one."""
    if value is None:
        return []
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    raise SlipwayError(f"{what} is {clip(value)}.", "Write a list.", "bad_menu")


def title(value: object, what: str) -> str:
    """Return a line that can be seen, and is not endless."""
    text = plain(value)
    if not 0 < len(text) <= MAX_TITLE:
        raise SlipwayError(
            f"{what} has {len(text)} characters.",
            f"Give 1 to {MAX_TITLE} characters that can be seen.",
            "bad_menu",
        )
    return text


def reference(value: object) -> str:
    """Return ``NAME`` or ``NAME@VERSION`` after a check."""
    name, version = split_reference(value)
    return name if version is None else f"{name}@{version}"


def script(value: object) -> str:
    """Return the text of an administrator's own iPXE script, with the first line iPXE wants."""
    if not isinstance(value, str) or not value.strip():
        raise SlipwayError("the script is missing.", "Give script: |, then its lines.", "bad_menu")
    text = value if value.endswith("\n") else value + "\n"
    bad = next((c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"), "")
    if bad or len(text.encode("utf-8", "replace")) > MAX_SCRIPT:
        raise SlipwayError(
            "the script is no text." if bad else "the script is too long.",
            f"Give at most {MAX_SCRIPT} bytes of text, with line feeds alone.",
            "bad_menu",
        )
    return text if text.startswith("#!ipxe\n") else "#!ipxe\n" + text


def card_names(value: object) -> tuple[str, ...]:
    """Return iPXE's names of network cards."""
    names = listed(value, "boot_menu_tftp_cards")
    for name in names:
        if not isinstance(name, str) or not _CARD.fullmatch(name):
            raise SlipwayError(
                f"boot_menu_tftp_cards has {clip(name)}, which is no name of a card.",
                "Write what iPXE shows for ${netX/chip}, in quotation marks.",
                "bad_menu",
            )
    return tuple(map(str, names))
