# SPDX-License-Identifier: GPL-3.0-or-later
"""One's own account: where it is signed in, and how the page looks."""

from __future__ import annotations

from fastapi import Response

from ..asking import THEME, Ask, go

_YEAR = 365 * 86400


async def show(ask: Ask) -> Response:
    """One's own sign-ins."""
    assert ask.signed_in is not None
    sign_ins = ask.site.sign_ins.of_user(ask.user.name)
    return ask.show("account.html", sign_ins=sign_ins, own=ask.signed_in.id)


async def theme(ask: Ask) -> Response:
    """Light, dark, or as the browser likes; kept by the browser alone."""
    answer = go("/account")
    answer.set_cookie(
        THEME, ask.fields.one("theme")[:5], max_age=_YEAR, path="/", secure=True, httponly=True,
        samesite="strict",
    )  # fmt: skip
    return answer


async def end(ask: Ask) -> Response:
    """End one of one's own sign-ins, or all; nobody's else."""
    ask.site.sign_ins.end(ask.user.name, ask.fields.one("id") or None)
    return go("/account")
