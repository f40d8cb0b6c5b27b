# SPDX-License-Identifier: GPL-3.0-or-later
"""When the certificates end that PCs trust: said before, in the status and in the journal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from .config import Config

_WARN = timedelta(days=60)


def warnings(config: Config, now: datetime) -> list[str]:
    """What an administrator should know, each with its remedy; ``now`` has a time zone."""
    remedies = {
        "The server's certificate": (config.certificate_ends, "run site.yml, which renews it"),
        "The CA's certificate": (
            config.ca_ends,
            "move ca.key and ca.crt away from /etc/slipway/tls and run site.yml, which makes "
            "another and a site overlay that trusts it; boot media are to be made anew",
        ),
    }
    found = []
    for what, (text, remedy) in remedies.items():
        ends = _moment(text)
        if ends is not None and ends - now < _WARN:
            when = "ended" if ends < now else "ends"
            found.append(f"{what} {when} on {ends:%Y-%m-%d}: {remedy}.")
    return found


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except ValueError:
        return None
