# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may see what: one table of the page's routes, and the gate that all of them lie behind."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import api, views
from .asking import COOKIE, Ask, Site, from_our_page, go, read_form
from .config import Role
from .forms import FormError, parse
from .pages import (
    account,
    acts,
    audit,
    downloads,
    files,
    images,
    jobs,
    live,
    machines,
    orders,
    overview,
    registrations,
    schedules,
    sign_in,
    store,
)
from .service import Refused, ServiceDown

log = logging.getLogger(__name__)
Handler = Callable[[Ask], Awaitable[Response]]


@dataclass(frozen=True)
class Page:
    """What a route asks of who comes. ``role`` None: anybody; ``whole``: no groups."""

    role: Role | None
    handler: Handler
    whole: bool = False


PAGES: dict[str, Page] = {
    "GET /sign-in": Page(None, sign_in.form),
    "POST /sign-in": Page(None, sign_in.enter),
    "POST /sign-out": Page("viewer", sign_in.leave),
    "GET /": Page("viewer", overview.show),
    "GET /machines": Page("viewer", machines.show_all),
    "GET /machines/{machine}": Page("viewer", machines.show),
    "GET /images": Page("viewer", images.show_all),
    "GET /images/{image}": Page("viewer", images.show),
    "GET /images/{image}/{version}": Page("viewer", images.show_version),
    "GET /images/{image}/{version}/files": Page("operator", files.show),
    "GET /downloads": Page("operator", downloads.show_all),
    "GET /downloads/{download}": Page("operator", downloads.show),
    "GET /downloads/{download}/file": Page("operator", downloads.send),
    "GET /jobs": Page("viewer", jobs.show_all),
    "GET /jobs/{job}": Page("viewer", jobs.show),
    "GET /live": Page("viewer", live.stream),
    "GET /registrations": Page("viewer", registrations.show_all),
    "GET /schedules": Page("viewer", schedules.show_all),
    "GET /schedules/{schedule}": Page("viewer", schedules.show),
    "GET /store": Page("viewer", store.show),
    "GET /store/rules": Page("viewer", store.rules, whole=True),
    "GET /account": Page("viewer", account.show),
    "POST /account/theme": Page("viewer", account.theme),
    "POST /account/end": Page("viewer", account.end),
    "GET /audit": Page("admin", audit.show_all, whole=True),
    "GET /order": Page("operator", orders.plan),
    "POST /order": Page("operator", orders.order),
    **{
        f"{method} /act/{name}": Page(act.role, handler, act.whole)
        for name, act in acts.ACTS.items()
        for method, handler in (("GET", acts.confirm_of(act)), ("POST", acts.do_of(act)))
    },
}
_MOST_QUERY = 1000
_NOTHING_CHANGED = "Nothing was changed."


def build(site: Site) -> FastAPI:
    """The application behind its socket."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    for line, page in PAGES.items():
        method, path = line.split(" ")
        app.add_api_route(path, _gate(site, page), methods=[method], response_model=None)
    api.add_to(app, site)
    app.mount("/static", StaticFiles(directory=views.STATIC))
    app.add_exception_handler(HTTPException, _no_page(site))
    app.add_middleware(_Headers)
    return app


class _Headers:
    """What every answer says to its browser."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kept = "max-age=3600" if scope.get("path", "").startswith("/static/") else "no-store"

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(views.HEADERS | {"Cache-Control": kept})
            await send(message)

        await self._app(scope, receive, answer)


def _gate(site: Site, page: Page) -> Callable[[Request], Awaitable[Response]]:
    """Who asks is looked at first, then whether it came from a page of ours, then the rest."""

    async def pass_through(request: Request) -> Response:
        ask = Ask(site, request, parse(b""), site.sign_ins.of(request.cookies.get(COOKIE, "")))
        try:
            if page.role is not None:
                if ask.signed_in is None:
                    return _sign_in_first(ask)
                if not ask.user.may(page.role):
                    return _wrong_role(ask, page.role)
                if not ask.user.may(page.role, whole=page.whole):
                    return _wrong_group(ask)
            return await _admitted(ask, page)
        except FormError as error:
            return ask.trouble(400, str(error), _NOTHING_CHANGED, "Go back and try again.")
        except Refused as error:
            # What is refused is the asker's, not a fault of the page.
            status = error.status if 400 <= error.status < 500 else 502
            return ask.trouble(status, error.message, _NOTHING_CHANGED, error.remedy)
        except ServiceDown:
            return _down(ask)
        except Exception:
            log.exception("%s %s failed", request.method, request.scope.get("path"))
            return ask.trouble(
                500,
                "The page has failed.",
                "Whether something was changed is shown by the jobs and by the audit.",
                "Read the journal of slipway-web.service on the image server.",
            )

    return pass_through


async def _admitted(ask: Ask, page: Page) -> Response:
    request = ask.request
    if request.method != "POST":
        ask.fields = parse(request.scope["query_string"])
        return await page.handler(ask)
    if not from_our_page(request):
        return _foreign(ask)
    ask.fields = await read_form(request)
    if page.role is not None and not (ask.signed_in and ask.signed_in.fits(ask.fields.one("key"))):
        return _foreign(ask)
    return await page.handler(ask)


def _sign_in_first(ask: Ask) -> Response:
    if ask.request.method != "GET":
        return ask.trouble(
            401, "You are not signed in any more.", _NOTHING_CHANGED, "Sign in, and do it again."
        )
    query = ask.request.url.query
    # A line of hundreds of names is more than nginx takes as the head of an answer.
    query = query if len(query) <= _MOST_QUERY else ""
    return go("/sign-in?next=" + quote(ask.request.url.path + (f"?{query}" if query else "")))


def _wrong_role(ask: Ask, role: Role) -> Response:
    message = f"This takes the role {role}; {ask.user.name} is {ask.user.role}."
    return ask.trouble(403, message, _NOTHING_CHANGED, "Ask somebody who has that role.")


def _wrong_group(ask: Ask) -> Response:
    message = f"This is for who looks after all machines; {ask.user.name} has groups."
    return ask.trouble(403, message, _NOTHING_CHANGED, "Ask somebody who has none.")


def _foreign(ask: Ask) -> Response:
    return ask.trouble(
        403,
        "This did not come from a page of this server that you have open.",
        _NOTHING_CHANGED,
        "Open the page anew and do it again. If you did not send anything, another web site tried "
        "to do it in your name.",
    )


def _down(ask: Ask) -> Response:
    acted = ask.request.method == "POST"
    return ask.trouble(
        503,
        "The control service does not answer.",
        "Whether it was done is shown by the jobs and by the audit when it is back."
        if acted
        else _NOTHING_CHANGED,
        "Wait a moment, then look again. On the image server: systemctl status slipway.",
    )


def _no_page(site: Site) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        ask = Ask(site, request, parse(b""), site.sign_ins.of(request.cookies.get(COOKIE, "")))
        return ask.trouble(
            status, "There is no such page.", _NOTHING_CHANGED, "Begin at the overview."
        )

    return answer
