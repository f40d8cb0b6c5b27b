# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is told, and how: one JSON file, read once, every key checked, all faults at once.

The file holds passwords: nothing that is said here repeats a value of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

KINDS = ("window_done", "stale", "job_failed", "check_broken", "collection_stopped", "prune_waits",
         "store_low", "replication_failed", "registration_waits", "login_paused",
         "second_check_in")  # fmt: skip
SECURITY = {"starttls": 587, "tls": 465, "none": 25}
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")
_ADDRESS = re.compile(r"[^\s@<>,;\"]+@[A-Za-z0-9.-]+\Z")
_HOST = re.compile(r"[A-Za-z0-9.:-]{1,253}\Z")


class SettingsError(Exception):
    """The settings can't be meant; ``problems`` says why, without any of their values."""

    def __init__(self, problems: list[str]) -> None:
        """Keep every problem."""
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Mail:
    """A mail server, and to whom it carries."""

    host: str
    to: tuple[str, ...]
    sender: str
    security: str
    port: int
    user: str
    password: str
    ca: str


@dataclass(frozen=True)
class Hook:
    """An address of the web. ``alive``: it is fetched as a sign of life, and told nothing."""

    url: str
    token: str
    ca: str
    alive: bool = False


@dataclass(frozen=True)
class Sink:
    """One who is told, and of which kinds."""

    name: str
    by: Mail | Hook
    of: frozenset[str]


def load(path: Path) -> list[Sink]:
    """Read the settings; SettingsError with all that can't be meant."""
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError([f"{path} can't be read: {type(error).__name__}."]) from error
    return parse(said)


def parse(said: Any) -> list[Sink]:
    """Make sinks of the settings; SettingsError with all that can't be meant."""
    if not isinstance(said, dict):
        raise SettingsError(["policy_tell: must name those who are told, each with what it is."])
    problems: list[str] = []
    sinks = [_sink(str(name), body, problems) for name, body in said.items()]
    if problems:
        raise SettingsError(problems)
    return [sink for sink in sinks if sink is not None]


def _sink(name: str, body: Any, problems: list[str]) -> Sink | None:
    where = f"policy_tell.{name[:40]}"
    if not _NAME.match(name):
        problems.append(
            f"{where}: must be a name of lower-case letters, digits, '_' and '-', 32 at most."
        )
        return None
    ways = [key for key in _WAYS if isinstance(body, dict) and key in body]
    if len(ways) != 1 or not isinstance(body[ways[0]], dict):
        problems.append(f"{where}: must have one of {', '.join(_WAYS)}, with its keys.")
        return None
    found = [f"{where}.{each}: there is no such key." for each in body.keys() - {ways[0], "of"}]
    of = body.get("of", list(KINDS))
    if not isinstance(of, list) or not of or any(each not in KINDS for each in of):
        found.append(f"{where}.of: must be a list of {', '.join(KINDS)}.")
        of = []
    keys, make = _WAYS[ways[0]]
    at = f"{where}.{ways[0]}"
    found += list(_faults(at, body[ways[0]], keys))
    problems += found
    return None if found else Sink(name, make(body[ways[0]]), frozenset(of))


def _faults(at: str, said: dict[str, Any], keys: Mapping[str, _Key]) -> Iterator[str]:
    for key in said.keys() - keys.keys():
        yield f"{at}.{key}: there is no such key. There are {', '.join(keys)}."
    for key, (check, needed, words) in keys.items():
        if (key not in said and needed) or (key in said and not check(said[key])):
            yield f"{at}.{key}: must be {words}."
    if said.get("password") and said.get("security") == "none":
        yield f"{at}.password: goes out in clear with security: none. Take starttls or tls."
    if said.get("token") and _scheme(said.get("url")) == "http":
        yield f"{at}.token: goes out in clear with http. Take https."


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 1024 and value.isprintable()


def _scheme(value: Any) -> str:
    if not _text(value) or " " in value:
        return ""
    try:
        parts = urlsplit(value)
        good = bool(parts.hostname) and parts.username is None and (parts.port or 1) > 0
    except ValueError:
        return ""
    return parts.scheme if good else ""


def _addresses(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= 50 and all(map(_is_address, value))


def _is_address(value: Any) -> bool:
    return _text(value) and value.isascii() and _ADDRESS.match(value) is not None


_Key = tuple[Callable[[Any], bool], bool, str]
_CA: _Key = (lambda it: _text(it) and it.startswith("/"), False, "a path on the image server")
_URL: _Key = (lambda it: _scheme(it) in ("http", "https"), True,
              "a URL of http or https, without a password in it")  # fmt: skip
_MAIL: dict[str, _Key] = {
    "host": (lambda it: _text(it) and _HOST.match(it) is not None, True, "a host name or address"),
    "to": (_addresses, True, "a list of mail addresses"),
    "from": (_is_address, True, "a mail address"),
    "security": (lambda it: it in SECURITY, False, f"one of {', '.join(SECURITY)}"),
    "port": (lambda it: type(it) is int and 0 < it < 65536, False, "a number below 65536"),
    "user": (_text, False, "a text"),
    "password": (_text, False, "a text"),
    "ca": _CA,
}
_HOOK: dict[str, _Key] = {"url": _URL, "token": (_text, False, "a text"), "ca": _CA}


def _mail(said: dict[str, Any]) -> Mail:
    security = said.get("security", "starttls")
    return Mail(
        said["host"],
        tuple(said["to"]),
        said["from"],
        security,
        said.get("port", SECURITY[security]),
        said.get("user", ""),
        said.get("password", ""),
        said.get("ca", ""),
    )


def _hook(said: dict[str, Any], *, alive: bool = False) -> Hook:
    return Hook(said["url"], said.get("token", ""), said.get("ca", ""), alive)


_WAYS: dict[str, tuple[Mapping[str, _Key], Callable[[dict[str, Any]], Mail | Hook]]] = {
    "mail": (_MAIL, _mail),
    "webhook": (_HOOK, _hook),
    "alive": (_HOOK, lambda said: _hook(said, alive=True)),
}
