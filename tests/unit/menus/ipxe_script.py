# SPDX-License-Identifier: GPL-3.0-or-later
"""A small reader of iPXE scripts, written from iPXE's own rules and not from our renderer.

It knows what ``src/image/script.c``, ``exec.c``, ``settings.c`` and ``getopt.c`` of the version in
Debian 12 do to a line, and runs menus far enough to tell what a screen shows and what is chosen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_SPACE = re.compile(r"[ \t\n\v\f\r]+")


@dataclass
class Command:
    """One command of a line, with the word that ended it: ``||``, ``&&``, ``;`` or none."""

    words: list[str]
    end: str


@dataclass
class Line:
    """One logical line."""

    label: str | None
    commands: list[Command]


def read(script: str) -> list[Line]:
    """Split a script as iPXE does; raises ValueError where iPXE would not take it for one."""
    if not re.match(r"#!ipxe[ \t\n\v\f\r]", script):
        raise ValueError("no magic")
    lines, pending = [], ""
    for raw in script.split("\n"):
        text = pending + raw.removesuffix("\r")
        pending = ""
        if text.endswith("\\"):
            pending = text[:-1]
            continue
        lines.append(_line(text))
    return lines


def _line(text: str) -> Line:
    text = text.lstrip(" \t\n\v\f\r")
    label = None
    if text.startswith(":"):
        label, _, text = (*_SPACE.split(text[1:], maxsplit=1), "", "")[:3]
        text = _ or text
    commands, words = [], []
    for word in _SPACE.split(text.strip(" \t\n\v\f\r")) if text.strip() else []:
        if word.startswith("#"):
            break
        if word in ("||", "&&", ";"):
            commands.append(Command(words, word))
            words = []
        else:
            words.append(word)
    commands.append(Command(words, ""))
    return Line(label, commands)


def expand(word: str, settings: dict[str, str]) -> str:
    """Expand ``${name}`` as iPXE does: innermost first, until none is left."""
    for _ in range(1000):
        end, start = -1, -1
        for place in range(len(word)):
            if word.startswith("${", place):
                start = place
            if start >= 0 and word[place] == "}":
                end = place
                break
        if end < 0:
            return word
        word = word[:start] + settings.get(word[start + 2 : end], "") + word[end + 1 :]
    raise ValueError("endless expansion")


@dataclass
class Screen:
    """A menu as it is shown."""

    title: str = ""
    rows: list[tuple[str | None, str]] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    default: str = ""
    timeout: int = 0

    @property
    def choices(self) -> dict[str, str]:
        """The rows that can be chosen, by label."""
        return {label: text for label, text in self.rows if label is not None}


def options(words: list[str], with_value: set[str]) -> tuple[dict[str, str], list[str]]:
    """Read options as iPXE's getopt does."""
    found, rest = {}, list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "--":
            return found, rest
        name = word.lstrip("-")
        if not word.startswith("--"):
            raise ValueError(f"a short option: {word}")
        if name in with_value:
            found[name] = rest.pop(0)
            if found[name].startswith("-"):
                raise ValueError(f"an option as a value: {found[name]}")
        elif name in ("gap", "replace", "no-describe"):
            found[name] = ""
        else:
            raise ValueError(f"unknown option {word}")
    return found, rest


@dataclass
class Run:
    """Plays a script up to its menus; every command that is run is kept."""

    script: str
    platform: str = "pcbios"
    # What `choose` answers, in turn; None is Escape, "" the default.
    answers: list[str | None] = field(default_factory=list)
    # Commands that fail, by their first words.
    failing: tuple[str, ...] = ()
    # Scripts that are chained to and come back when they fail, by address.
    chained: dict[str, str] = field(default_factory=dict)
    screens: list[Screen] = field(default_factory=list)
    done: list[list[str]] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    ended: str = ""

    def play(self) -> Run:
        """Run from the first line to where iPXE would leave the script."""
        lines = read(self.script)
        labels = {line.label: place for place, line in reversed(list(enumerate(lines)))}
        self.settings |= {
            "platform": self.platform,
            "netX/mac:hexhyp": "52-54-00-00-00-01",
            "net0/mac:hexhyp": "52-54-00-00-00-01",
            "netX/mac": "MAC",
        }
        place = 0
        for _ in range(500):
            if place >= len(lines) or self.ended:
                return self
            jump, good = self._run_line(lines[place])
            if jump is not None:
                if jump not in labels:
                    raise ValueError(f"no label {jump}")
                place = labels[jump]
            elif not good:
                self.ended = self.ended or "failed"
            else:
                place += 1
        raise ValueError("endless script")

    def _run_line(self, line: Line) -> tuple[str | None, bool]:
        good, process = True, True
        for command in line.commands:
            if process:
                words = [expand(word, self.settings) for word in command.words]
                good = True
                if words:
                    self.done.append(words)
                    if words[0] == "goto":
                        return words[1], True
                    good = self._run(words)
                    if self.ended:
                        return None, good
            process = {"||": not good, "&&": good, ";": True, "": False}[command.end]
        return None, good

    def _run(self, words: list[str]) -> bool:
        name, rest = words[0], words[1:]
        if any(" ".join(words).startswith(start) for start in self.failing):
            return False
        if name in ("set", "clear", "inc", "isset", "iseq"):
            return self._setting(name, rest)
        if name == "menu":
            self.screens.append(Screen(" ".join(options(rest, set())[1])))
        elif name == "item":
            self._item(rest)
        elif name == "choose":
            return self._choose(rest)
        elif name in ("boot", "exit", "reboot", "sanboot"):
            self.ended = " ".join(words)
        elif name == "chain":
            return self._chain(words)
        elif name not in ("echo", "prompt", "kernel", "initrd", "imgfree", "cpair", "sleep"):
            raise ValueError(f"unknown command {words}")
        return True

    def _setting(self, name: str, rest: list[str]) -> bool:
        if name == "set":
            setting, *value = rest
            self.settings[setting.partition(":")[0]] = " ".join(value)
        elif name == "clear":
            self.settings.pop(rest[0], None)
        elif name == "inc":
            self.settings[rest[0]] = str(int(self.settings[rest[0]]) + 1)
        elif name == "isset":
            return bool(rest and rest[0])
        else:
            return rest[0] == rest[1]
        return True

    def _chain(self, words: list[str]) -> bool:
        if words[-1] in self.chained:
            inner = Run(self.chained[words[-1]], self.platform, failing=self.failing)
            inner.settings, inner.done = self.settings, self.done
            inner.play()
            self.ended = "" if inner.ended == "failed" else inner.ended
            return bool(self.ended)
        if "/items/" not in words[-1] or not words[-1].endswith(".ipxe"):
            self.ended = " ".join(words)
        return True

    def _item(self, rest: list[str]) -> None:
        found, rest = options(rest, {"key"})
        label = None if "gap" in found else rest.pop(0)
        self.screens[-1].rows.append((label, " ".join(rest)))
        if "key" in found:
            self.screens[-1].keys[found["key"]] = label or ""

    def _choose(self, rest: list[str]) -> bool:
        found, rest = options(rest, {"default", "timeout"})
        screen = self.screens[-1]
        screen.default, screen.timeout = found["default"], int(found.get("timeout", 0))
        answer = self.answers.pop(0) if self.answers else ""
        if answer is None:
            return False
        answer = screen.keys.get(answer, answer) or screen.default
        if answer not in screen.choices:
            raise ValueError(f"{answer} can't be chosen")
        self.settings[rest[0]] = answer
        return True
