# SPDX-License-Identifier: GPL-3.0-or-later
"""What all routes share: bounded bodies, one form of refusals, their documentation."""

from __future__ import annotations

import ipaddress
import logging
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from .. import __version__
from ..base.bodies import BodyLimit, Bound
from ..base.errors import ERRORS, ServiceError
from ..service import Service
from .models.common import ErrorBody

log = logging.getLogger(__name__)

# What many routes may answer: about the token, about the body.
AUTH = ("bad_token", "session_ended")
BODY = ("bad_body", "too_long", "too_slow")
BACKUP = (*AUTH, *BODY, "wrong_verb")
NO_STORE = {"Cache-Control": "no-store"}

# Of a full disk SQLite says FULL, or an error of reading and writing when it needs a file more.
_DISK_ERRORS = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
_STATUS_TYPES = {404: "no_such_route", 405: "wrong_method", 400: "bad_body"}


async def get_service(request: Request) -> Service:
    """The one service of all sockets. Not a plain function: those run in another thread."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]


def peer(request: Request) -> str | None:
    """The client's address, as nginx saw it: nobody else can reach the socket."""
    try:
        found = ipaddress.ip_address(request.headers.get("x-real-ip", ""))
    except ValueError:
        return None
    # A socket for both families says IPv4 addresses as ::ffff:10.0.0.1.
    mapped = found.ipv4_mapped if found.version == 6 else None
    return str(mapped or found)


def refusals(*types: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for the error types that a route can answer with."""
    by_status: dict[int, list[str]] = {}
    for name in ("bad_request", "internal", "disk_full", *types):
        by_status.setdefault(ERRORS[name][0], []).append(name)
    return {
        status: {"model": ErrorBody, "description": "error: " + ", ".join(names)}
        for status, names in sorted(by_status.items())
    }


def respond(error: ServiceError) -> JSONResponse:
    """The answer for a refusal."""
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return JSONResponse(error.body(), error.status, headers)


_REFUSAL = "refusal"


def refusal_of(scope: Scope) -> str:
    """The type of the refusal that a request got."""
    return str(scope.get("state", {}).get(_REFUSAL, "internal"))


def _refused(request: Request, error: ServiceError) -> JSONResponse:
    request.scope.setdefault("state", {})[_REFUSAL] = error.error
    return respond(error)


async def _on_service_error(request: Request, error: ServiceError) -> Response:
    if error.status >= 500:
        log.error("%s: %s", error.error, error.message)
    return _refused(request, error)


async def _on_invalid(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return _refused(request, ServiceError("bad_body", "The body is no JSON."))
    # The place and the reason, never the value: it came from anybody.
    where = ".".join(str(part)[:40] for part in first["loc"][1:]) or str(first["loc"][0])
    reason = first["msg"].removeprefix("Value error, ")
    return _refused(request, ServiceError("bad_request", f"{where}: {reason}."))


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    kind = _STATUS_TYPES.get(error.status_code, "internal")
    return _refused(request, ServiceError(kind, str(error.detail)))


async def _on_disconnect(_: Request, __: ClientDisconnect) -> Response:
    return respond(ServiceError("bad_body", "The body ended early."))


async def _on_database_error(request: Request, error: sqlite3.OperationalError) -> Response:
    """A full disk is no crash: what was asked for is not kept, and everything else goes on."""
    if error.sqlite_errorcode & 0xFF not in _DISK_ERRORS:
        return await _on_crash(request, error)
    log.error("%s %s: %s", request.method, request.url.path, error)
    message = "The image server's disk is full or fails: what was asked for is not kept."
    return _refused(request, ServiceError("disk_full", message))


async def _on_crash(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return respond(ServiceError("internal", "The service failed to handle the request."))


_HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    ServiceError: _on_service_error,
    RequestValidationError: _on_invalid,
    HTTPException: _on_http_error,
    ClientDisconnect: _on_disconnect,
    sqlite3.OperationalError: _on_database_error,
    Exception: _on_crash,
}


def make_app(service: Service, title: str, bound_of: Callable[[str, str], Bound | None]) -> FastAPI:
    """An application without routes: its errors, limits and description are in place.

    ``bound_of`` says what the body of a method and path may be; None: its handler reads it.
    """
    app = FastAPI(
        title=title,
        version=__version__,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=_HANDLERS,
    )
    app.state.service = service
    app.add_middleware(
        BodyLimit, bound_of=bound_of, is_known=service.sessions.authenticate, refuse=respond
    )
    return app
