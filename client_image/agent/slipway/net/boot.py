# SPDX-License-Identifier: GPL-3.0-or-later
"""What this boot is for: the words of its boot script, and its nonce."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from slipway.engine.errors import CheckinRefused


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


def boot_nonce(path: Path) -> str:
    """This boot's nonce, made at the first call."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32))
    return path.read_text()
