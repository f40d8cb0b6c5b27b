# SPDX-License-Identifier: GPL-3.0-or-later
"""Signing in and out."""

from __future__ import annotations

import logging

from fastapi import Response
from starlette.background import BackgroundTask

from ..asking import COOKIE, Ask, go
from ..config import User
from ..passwords import MAX_PASSWORD

log = logging.getLogger(__name__)
_MAX_BROWSER = 200


async def form(ask: Ask) -> Response:
    """The form, for whoever is not signed in yet."""
    if ask.signed_in is not None:
        return go("/")
    return ask.show("sign_in.html", next=ask.fields.one("next"), problem="")


async def enter(ask: Ask) -> Response:
    """Look at a name and a password; a browser that fits gets a fresh cookie."""
    site, name, password = ask.site, ask.fields.one("name"), ask.fields.raw("password")
    # Nobody's name is longer, and a longer one must not fill the memory of tries.
    account = name[:64]
    wait = max(site.by_account.wait(account), site.by_address.wait(ask.address))
    if wait > 0:
        return _again(ask, 429, f"Too many wrong passwords: wait {wait:.0f} s, then try again.")
    # Counted before it is looked at: a hundred at once are a hundred.
    site.by_account.wrong(account)
    site.by_address.wrong(ask.address)
    user, like = site.config.user(name), site.config.users[0].password_hash
    known = user.password_hash if user and len(password) <= MAX_PASSWORD else None
    fits = await site.checker.fits(known, like, password[:MAX_PASSWORD])
    if not fits or user is None:
        # What was typed as a name may be a password.
        who = f"as {user.name} " if user else ""
        log.warning("wrong password %sfrom %s", who, ask.address)
        answer = _again(ask, 403, "The name or the password is wrong.")
        # Afterwards: how long it takes says nothing of whether there is such a user.
        answer.background = BackgroundTask(_tell_of_guesses, ask, user)
        return answer
    site.by_account.forget(account)
    site.by_address.right(ask.address)
    if ask.signed_in is not None:
        site.sign_ins.end(ask.user.name, ask.signed_in.id)
    browser = ask.request.headers.get("user-agent", "")[:_MAX_BROWSER]
    cookie = site.sign_ins.begin(user, ask.address, browser)
    log.info("%s (%s) signed in from %s", user.name, user.role, ask.address)
    answer = go(_ours(ask.fields.one("next")))
    answer.set_cookie(
        COOKIE, cookie, path="/", secure=True, httponly=True, samesite="strict",
    )  # fmt: skip
    return answer


async def leave(ask: Ask) -> Response:
    """End the sign-in; its cookie is worth nothing from now on."""
    assert ask.signed_in is not None
    ask.site.sign_ins.end(ask.user.name, ask.signed_in.id)
    answer = go("/sign-in")
    answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return answer


async def _tell_of_guesses(ask: Ask, user: User | None) -> None:
    """Let people be told of what is slowed by now."""
    if user is not None and ask.site.by_account.wait(user.name) > 0:
        await ask.site.service.tell_of_guesses(user.name, ask.address)
    if ask.site.by_address.wait(ask.address) > 0:
        await ask.site.service.tell_of_guesses(None, ask.address)


def _again(ask: Ask, status: int, problem: str) -> Response:
    return ask.show("sign_in.html", status, next=ask.fields.one("next"), problem=problem)


def _ours(path: str) -> str:
    """A path of this server; anything else leads to the overview."""
    good = path.startswith("/") and not path.startswith(("//", "/sign-in"))
    return path if good and path.isascii() and path.isprintable() and "\\" not in path else "/"
