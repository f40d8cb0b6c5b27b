# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text in any script, as the letters that a boot loader's console can show.

The iPXE of Debian 12 writes bytes: a BIOS takes them for code page 437, UEFI for Latin-1, so ASCII
is all that looks the same everywhere. Latin loses its accents, Greek and Cyrillic are
transliterated, Japanese kana and Korean are spelled as Unicode names their syllables. What has no
letters of its own, such as Chinese, becomes question marks.
"""

# The tables are full of letters that look alike: that is what they are about.
# ruff: noqa: RUF001

from __future__ import annotations

import re
import unicodedata

# What a decomposition does not find.
_LETTERS = {
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O",
    "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ł": "l", "Ł": "L",
    "ħ": "h", "Ħ": "H", "ı": "i", "ŋ": "n", "Ŋ": "N", "ŧ": "t", "Ŧ": "T", "ə": "e", "Ə": "E",
    "\u2018": "'", "\u2019": "'", "‚": "'", "‹": "<", "›": ">",
    "\u201c": '"', "\u201d": '"', "„": '"',
    "«": '"', "»": '"', "–": "-", "—": "-", "‐": "-", "‑": "-", "−": "-", "•": "*", "·": ".",
    "→": "->", "←": "<-", "⇒": "=>", "✓": "v", "✔": "v", "×": "x", "°": "o", "€": "EUR",
    "£": "GBP", "©": "(c)", "®": "(R)", "¿": "?", "¡": "!", "。": ".", "、": ",", "・": "-",
    "ー": "", "っ": "", "ッ": "", "⁄": "/",
}  # fmt: skip
_GREEK = dict(
    zip("αβγδεζηθικλμνξοπρσςτυφχψω",
        ["a", "v", "g", "d", "e", "z", "i", "th", "i", "k", "l", "m", "n", "x", "o", "p", "r",
         "s", "s", "t", "y", "f", "ch", "ps", "o"], strict=True)
)  # fmt: skip
_CYRILLIC = dict(
    zip("абвгдежзийклмнопрстуфхцчшщъыьэюяёђѓєіїјљњћќўџґ",
        ["a", "b", "v", "g", "d", "e", "zh", "z", "i", "y", "k", "l", "m", "n", "o", "p", "r",
         "s", "t", "u", "f", "kh", "ts", "ch", "sh", "shch", "", "y", "", "e", "yu", "ya", "yo",
         "dj", "gj", "ye", "i", "yi", "j", "lj", "nj", "c", "kj", "w", "dz", "g"], strict=True)
)  # fmt: skip
_LOWER = {**_GREEK, **_CYRILLIC}
# The last word of such names is the sound: HIRAGANA LETTER SMALL YA, HANGUL SYLLABLE GAG.
_SOUND = re.compile(r"(?:HIRAGANA LETTER|KATAKANA LETTER|HANGUL SYLLABLE)(?: SMALL)? ([A-Z]+)")


def to_ascii(text: str) -> tuple[str, int]:
    """Return text in printable ASCII, and how many characters had to become question marks."""
    parts, lost = [], 0
    for char in unicodedata.normalize("NFC", text):
        shown = _shown(char)
        lost += shown is None
        parts.append("?" if shown is None else shown)
    return "".join(parts), lost


def _shown(char: str) -> str | None:
    if " " <= char <= "~":
        return char
    if char in _LETTERS:
        return _LETTERS[char]
    lower = char.lower()
    if lower in _LOWER:
        return _LOWER[lower] if char == lower else _LOWER[lower].capitalize()
    if sound := _SOUND.fullmatch(unicodedata.name(char, "")):
        return sound[1].lower()
    if unicodedata.category(char).startswith(("M", "C", "Z")):
        return " " if unicodedata.category(char).startswith("Z") else ""
    plain = [
        part for part in unicodedata.normalize("NFKD", char) if not unicodedata.combining(part)
    ]
    if plain == [char]:
        return None
    shown = [_shown(part) for part in plain]
    return None if None in shown else "".join(part or "" for part in shown)
