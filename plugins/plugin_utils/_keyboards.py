# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyboard layouts of PCs: the one list of them, and what each can type.

A layout is a key map of Debian's console-data, which the imaging environment loads. What it can
type was read from that map; a test reads it again.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.module_utils._names import clip


@dataclass(frozen=True)
class Layout:
    """A key map, and what it makes of the keys.

    ``lacks`` is printable ASCII that it can't type (or only with a dead key), ``elsewhere`` ASCII
    that has another place than on a US keyboard, ``more`` what it types beyond ASCII.
    """

    keymap: str
    lacks: str
    elsewhere: str
    more: str

    def types(self, char: str) -> bool:
        """Tell whether a character can be typed with it."""
        return char in self.more or (" " <= char <= "~" and char not in self.lacks)


DEFAULT = "us"
# fmt: off
LAYOUTS = {
    "us": Layout(
        "us", "",
        "",
        "",
    ),
    "gb": Layout(
        "uk", "",
        "\"#<@\\|~",
        "£",
    ),
    "de": Layout(
        "de-latin1-nodeadkeys", "",
        "\"#&'()*+-/:;=>?@YZ[\\]^_`yz{|}~",
        "§°²³µÄÖÜßäöü",
    ),
    "ch": Layout(
        "sg-latin1", "^`~",
        "!\"#$&'()*+-/:;=>?@YZ[\\]_yz{|}",
        "£§°àäçèéöü",
    ),
    "ch-fr": Layout(
        "fr_CH-latin1", "^`~",
        "!\"#$&'()*+-/:;=>?@YZ[\\]_yz{|}",
        "£§°àäçèéöü",
    ),
    "fr": Layout(
        "fr-latin9", "",
        "!\"#$%&'()*+,-./0123456789:;>?@AMQWZ[\\]^_`amqwz{|}~",
        "¡£§°²³µ½¿ÀÂÄÅÆÇÈÉÊËÎÏÐÔÖØÙÛÜÝÞßàâäåæçèéêëîïðôöøùûüýþÿ€",
    ),
    "be": Layout(
        "be-latin1", "^`~",
        "!\"#$%&'()*+,-./0123456789:;=>?@AMQWZ[\\]_amqwz{|}",
        "£°µàçèéù",
    ),
    "es": Layout(
        "es", "^`",
        "\"#&'()*+-/:;=>?@[\\]_{|}~",
        "¡¿ÇÑçñ",
    ),
    "it": Layout(
        "it", "",
        "\"#&'()*+-/:;=>?@[\\]^_`{|}~",
        "£§°àçèéìíòùú",
    ),
    "pt": Layout(
        "pt-latin1", "^`",
        "\"&'()*+-/:;=>?@[\\]_{|}~",
        "£§Çç",
    ),
    "br": Layout(
        "br-abnt2", "^`~",
        "\"'/:;<?[\\]{|}",
        "£§°²³µÇç",
    ),
    "nl": Layout(
        "nl", "^`",
        "\"&'()*+-/:;<=>?@[\\]_{|}~",
        "£§°²³µ½ß",
    ),
    "dk": Layout(
        "dk-latin1", "^`~",
        "\"$&'()*+-/:;=>?@[\\]_{|}",
        "£§½ÅÆØåæø",
    ),
    "no": Layout(
        "no-latin1", "",
        "\"&'()*+-/:;=>?@[\\]^_`{|}~",
        "¡£§²³µ½¿ÁÅÆÉÏÐÑÒØÜÞßáåæçéïðñòøüþÿ",
    ),
    "se": Layout(
        "se-latin1", "`",
        "\"$&'()*+-/:;=>?@[\\]^_{|}~",
        "£§°ÄÅÖäåçö",
    ),
    "fi": Layout(
        "fi-latin1", "^`~",
        "\"&'()*+-/:;=>?@[\\]_{|}",
        "£§½ÄÅÖäåö",
    ),
    "pl": Layout(
        "pl", "",
        "",
        "§ÓóĄąĆćĘęŁłŃńŚśŹźŻż",
    ),
    "cz": Layout(
        "cz-us-qwertz", "",
        "!\"#$%&'()*+-/0123456789:;<=>?@YZ[]^_yz{|}~",
        "§áéíúýčěřšůž",
    ),
    "sk": Layout(
        "sk-qwertz", "",
        "YZyz",
        "§áäéíôúýčľňšťž",
    ),
    "hu": Layout(
        "hu", "",
        "!\"#$&'()*+-/0:;<=>?@YZ[\\]^_`yz{|}~",
        "§°ÁÉÍÓÖÚÜßáéíóöúüĐđŁłŐőŰűˇ",
    ),
    "hr": Layout(
        "croat", "",
        "\"&'()*+-/:;=>?@YZ[\\]^_`yz{|}~",
        "§°ßĆćČčĐđŁłŠšŽžˇ",
    ),
    "si": Layout(
        "slovene", "",
        "\"&'()*+-/:;=>?@YZ[\\]^_`yz{|}~",
        "§°ßĆćČčĐđŁłŠšŽžˇ",
    ),
    "ro": Layout(
        "ro", "",
        "<",
        "§ÂÎßâîĂăĐđŁłŞşŢţ€",
    ),
    "tr": Layout(
        "trq", "",
        "\"#$&'()*+,-./:;=>?@[\\]^_`i{|}~",
        "ÂÇÎÔÖÛÜâçéîôöûüĞğİıŞş",
    ),
    "latam": Layout(
        "la-latin1", "",
        "\"&'()*+-/:;=>?@[\\]^_`{|}~",
        "¡¿Ññ",
    ),
    "ca": Layout(
        "cf", "^`",
        "\"#'/<>?@[\\]{|}~",
        "£§°²³µ½Éé",
    ),
    "ee": Layout(
        "et", "`~",
        "\"$&'()*+-/:;=>?@[\\]^_{|}",
        "£§ÄÕÖÜäõöüœŠšŽž€",
    ),
    "is": Layout(
        "is-latin1", "^`~",
        "\"&'()*+-/:;=>?@[\\]_{|}",
        "°²³µ½ÆÐÖÞßæðöþ",
    ),
    "lt": Layout(
        "lt", "",
        "<",
        "ĄąČčĖėĘęĮįŠšŪūŲųŽž",
    ),
}
# fmt: on


def check_keyboard(name: object) -> str:
    """Return the name of a layout, else raise SlipwayError."""
    if isinstance(name, str) and name in LAYOUTS:
        return name
    near = difflib.get_close_matches(str(name).lower(), LAYOUTS, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise SlipwayError(
        f"machine_keyboard is {clip(name)}.",
        f"{hint}There are {', '.join(LAYOUTS)}; in quotation marks.",
        "bad_keyboard",
    )


def boot_word(keyboard: str) -> str:
    """Return what tells the imaging environment of a layout; it starts with the default one."""
    return f"slipway.keyboard={LAYOUTS[keyboard].keymap}" if keyboard != DEFAULT else ""


def warnings(password: str, keyboards: Iterable[object]) -> Iterator[str]:
    """Yield what somebody who types a password at PCs with these layouts should know.

    An empty layout is a PC that nobody said it of.
    """
    found = list(dict.fromkeys(keyboards or [""]))
    said = [check_keyboard(name) for name in found if name != ""]
    chars = dict.fromkeys(password)
    for name in said or [DEFAULT]:
        if lost := "".join(char for char in chars if not LAYOUTS[name].types(char)):
            whose = f"with machine_keyboard {name}" if said else "without machine_keyboard"
            yield f"PCs {whose} have no key for these of its characters: {lost}"
    elsewhere = {char for name in said for char in LAYOUTS[name].elsewhere + LAYOUTS[name].more}
    if "" in found and (moved := "".join(char for char in chars if char in elsewhere)):
        yield (
            "PCs without machine_keyboard are taken to have a US keyboard, where these of its"
            f" characters stand elsewhere or nowhere: {moved}"
        )
