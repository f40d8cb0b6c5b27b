# SPDX-License-Identifier: GPL-3.0-or-later
"""One request: who asks, what for, and whether it came from a page of ours."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

import jinja2
from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from . import forms, views
from .config import Account, Config, User
from .forms import Fields, FormError
from .passwords import Checker
from .service import Service
from .sign_ins import SignIn, SignIns
from .tries import Tries

log = logging.getLogger(__name__)
COOKIE = "__Host-slipway"
THEME = "__Host-slipway-theme"
_FORM = "application/x-www-form-urlencoded"
_BODY_SECONDS = 20.0


@dataclass(frozen=True)
class Site:
    """What all requests share."""

    config: Config
    service: Service
    sign_ins: SignIns
    checker: Checker
    by_account: Tries
    by_address: Tries
    templates: jinja2.Environment


@dataclass
class Ask:
    """A request, as handlers see it."""

    site: Site
    request: Request
    fields: Fields
    signed_in: SignIn | None = None
    # When what is shown was true, if the service does not answer.
    stale: float | None = field(default=None)

    @property
    def user(self) -> User:
        """Who asks; a page for anybody must not look."""
        assert self.signed_in is not None
        return self.signed_in.user

    @property
    def address(self) -> str:
        """The browser's."""
        return address_of(self.request)

    def at(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    @property
    def _who(self) -> dict[str, str]:
        return said_of(self.user, self.request)

    async def get(self, path: str, /, **query: str) -> Any:
        """Look at something of the service."""
        known = await self.site.service.get(path, self._who, **query)
        if known.since is not None:
            self.stale = min(known.since, self.stale or known.since)
        return known.body

    async def act(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """Have the service do something."""
        return await self.site.service.act(method, path, self._who, body, **query)

    def show(self, template: str, status: int = 200, /, **values: Any) -> Response:
        """Answer with a page."""
        own = {
            "key": self.signed_in.form_key if self.signed_in else "",
            "path": self.request.url.path,
            "theme": theme_of(self.request),
            "approves": self.site.config.approves,
        }
        return HTMLResponse(self.part(template, **own | values), status)

    def part(self, template: str, /, **values: Any) -> str:
        """A part of a page. Others may be shown it, too: nothing of this sign-in alone is in it."""
        shared = {
            "user": self.signed_in.user if self.signed_in else None,
            "stale": self.stale,
            "restores": self.site.config.restores,
        }
        return views.render(self.site.templates, template, shared | values)

    def trouble(self, status: int, message: str, untouched: str, remedy: str) -> Response:
        """Say what happened, what was left untouched, and what to do."""
        return self.show(
            "trouble.html", status, message=message, untouched=untouched, remedy=remedy
        )


def address_of(request: Request) -> str:
    """Who asks, as nginx saw it: nobody else can reach the socket."""
    said = request.headers.get("x-real-ip", "")
    return said if said and all(each in "0123456789abcdef.:" for each in said) else "0.0.0.0"


def said_of(account: Account, request: Request) -> dict[str, str]:
    """Who asks, as what, and from where, as the service wants to be told."""
    return {
        "Slipway-By": account.name,
        "Slipway-Role": account.role,
        "Slipway-From": address_of(request)[:45],
        "Slipway-Groups": ",".join(account.groups) if account.groups else "*",
    }


def go(to: str) -> Response:
    """Send the browser to a page of ours; after a POST it gets it with GET."""
    return RedirectResponse(to, 303)


def theme_of(request: Request) -> str:
    """Light, dark, or what the browser likes."""
    said = request.cookies.get(THEME, "")
    return said if said in ("light", "dark") else "auto"


def from_our_page(request: Request) -> bool:
    """Whether a form was sent by a page of this server: browsers say so, twice."""
    said = request.headers
    ours = said.get("origin") == f"https://{said.get('host', '')}"
    return ours and said.get("sec-fetch-site", "same-origin") == "same-origin"


async def read_form(request: Request) -> Fields:
    """The form of a POST; FormError when it is none, too long or too slow."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise FormError("It is no form.")
    return forms.parse(await read_body(request))


async def read_body(request: Request) -> bytes:
    """What is sent, and of too much a little more than is taken; FormError when it is too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > forms.MAX_BYTES:
                    break
    except TimeoutError:
        raise FormError("It came too slowly.") from None
    return bytes(body)
