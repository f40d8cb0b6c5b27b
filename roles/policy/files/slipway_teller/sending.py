# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends one event: as a mail, as JSON to a webhook, or as a sign of life."""

from __future__ import annotations

import base64
import http.client
import json
import smtplib
import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

from .settings import Hook, Mail

_SECONDS = 30.0
_MOST = 300
# What is shorter stands in many words.
_SECRET_FROM = 4


class NotToldError(Exception):
    """It was not told; the text says why, and holds no secret."""


def send(by: Mail | Hook, server: str, event: Mapping[str, Any]) -> None:
    """Tell it; NotToldError when that can't be done now."""
    secrets = [by.password, by.user] if isinstance(by, Mail) else [by.token, by.url]
    try:
        if isinstance(by, Mail):
            _mail(by, letter(by, server, event))
        else:
            _hook(by, server, event)
    except (OSError, smtplib.SMTPException, http.client.HTTPException) as error:
        # Servers may repeat what they were sent: none of it is to get into a journal.
        raise NotToldError(_without(secrets, f"{type(error).__name__}: {error}")) from None


def letter(by: Mail, server: str, event: Mapping[str, Any]) -> EmailMessage:
    """The event as a mail. Sent twice, it has the same name twice."""
    made = EmailMessage(policy=SMTP)
    made["Subject"] = f"[Slipway {server}] {event['subject']}"
    made["From"] = by.sender
    made["To"] = ", ".join(by.to)
    made["Date"] = format_datetime(datetime.fromisoformat(event["at"]))
    made["Message-ID"] = f"<{event['number']}.{event['at'].replace(':', '')}@{_host(server)}>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content("\n".join([event["subject"], "", *event["lines"], ""]))
    return made


def _host(server: str) -> str:
    return f"[{server}]" if ":" in server else server


def _mail(by: Mail, message: EmailMessage) -> None:
    context = ssl.create_default_context(cafile=by.ca or None)
    smtp = _connected(by, context)
    try:
        if by.security == "starttls":
            smtp.starttls(context=context)
        if by.user:
            smtp.login(by.user, by.password)
        # Of several who are told some may be refused: the others have it, and get no second one.
        smtp.send_message(message, by.sender, list(by.to))
    finally:
        # What was taken was taken, however the line ends.
        with suppress(OSError, smtplib.SMTPException):
            smtp.quit()


def _connected(by: Mail, context: ssl.SSLContext) -> smtplib.SMTP:
    if by.security == "tls":
        return smtplib.SMTP_SSL(by.host, by.port, timeout=_SECONDS, context=context)
    return smtplib.SMTP(by.host, by.port, timeout=_SECONDS)


def _hook(by: Hook, server: str, event: Mapping[str, Any]) -> None:
    parts = urlsplit(by.url)
    place = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Authorization": f"Bearer {by.token}"} if by.token else {}
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=by.ca or None)
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_SECONDS)
    try:
        if by.alive:
            connection.request("GET", place, headers=headers)
        else:
            body = json.dumps({"server": server, **event}).encode()
            connection.request("POST", place, body, headers | {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read(1 << 16)
    finally:
        connection.close()
    # Nothing is followed: another place is another's.
    if not 200 <= answer.status < 300:
        raise http.client.HTTPException(f"it answered {answer.status}")


def _without(secrets: list[str], text: str) -> str:
    plain = "".join(each if each.isprintable() else " " for each in text)
    for secret in (each for each in secrets if len(each) >= _SECRET_FROM):
        for form in (secret, base64.b64encode(secret.encode()).decode()):
            plain = plain.replace(form, "...")
    return plain[:_MOST]
