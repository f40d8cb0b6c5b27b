# SPDX-License-Identifier: GPL-3.0-or-later
"""The same verbs for programs: the page's routes at the service as JSON, by a token of the site's.

A token comes in a header that no browser sends by itself, so no other site can act with it, and
what a browser is signed in as opens nothing here.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from . import forms
from .asking import Site, address_of, read_body, said_of
from .config import Role, Token
from .pages.downloads import sent
from .service import Refused, ServiceDown, path

log = logging.getLogger(__name__)
PREFIX = "/api/v1"
# What each route takes. The service looks at the role once more: its own table says the same.
API: dict[str, Role] = {
    "GET /overview": "viewer",
    "GET /machines": "viewer",
    "GET /machines/{machine}": "viewer",
    "GET /jobs": "viewer",
    "GET /jobs/{job_id}": "viewer",
    "GET /jobs/{job_id}/output": "viewer",
    "GET /sessions": "viewer",
    "GET /sessions/{session_id}": "viewer",
    "GET /images": "viewer",
    "GET /image-list": "viewer",
    "GET /images/{name}": "viewer",
    "GET /images/{name}/{version}/check": "viewer",
    "GET /images/{name}/{version}/contents": "viewer",
    "GET /trash": "viewer",
    "GET /registrations": "viewer",
    "GET /prune": "viewer",
    "GET /prune/with": "viewer",
    "GET /upkeep": "viewer",
    "GET /status": "viewer",
    "GET /room": "viewer",
    "GET /backups/{machine}": "viewer",
    "GET /schedules": "viewer",
    "GET /schedules/{name}": "viewer",
    "GET /audit": "admin",
    "GET /plan": "operator",
    "GET /images/{name}/{version}/files": "operator",
    "POST /images/{name}/{version}/downloads": "operator",
    "GET /downloads": "operator",
    "GET /downloads/{key}": "operator",
    "POST /downloads/{key}/take": "operator",
    "DELETE /downloads/{key}": "operator",
    "POST /jobs": "operator",
    "DELETE /jobs/{job_id}": "operator",
    "DELETE /sessions/{session_id}": "operator",
    "POST /next-boots/{machine}": "operator",
    "DELETE /next-boots/{machine}": "operator",
    "POST /images/{name}/{version}/check": "operator",
    "POST /schedules/{name}/run": "operator",
    "POST /schedules/{name}/pause": "operator",
    "POST /schedules/{name}/skip": "operator",
    "POST /images/{name}/label": "operator",
    "DELETE /images/{name}/{version}": "admin",
    "POST /trash/undelete": "admin",
    "POST /images/{name}/copy": "admin",
    "POST /images/{name}/rename": "admin",
    "POST /aliases/{alias}": "admin",
    "DELETE /aliases/{alias}": "admin",
    "POST /collect": "admin",
    "POST /prune": "admin",
    "POST /registrations/{key}/refuse": "admin",
    "POST /registrations/{key}/wish": "admin",
}
_DESCRIPTION = "/v1/openapi.json"
_OURS = ("slipway-by", "slipway-role", "slipway-from", "slipway-groups")
Handler = Callable[[Request], Awaitable[Response]]


def add_to(app: FastAPI, site: Site) -> None:
    """Add all routes."""
    for line, role in API.items():
        method, template = line.split(" ")
        handler = _gate(site, role, _pass_on(site, template))
        app.add_api_route(PREFIX + template, handler, methods=[method], response_model=None)
    described = _gate(site, "viewer", _describe(site))
    app.add_api_route(f"{PREFIX}/openapi.json", described, methods=["GET"], response_model=None)


def _gate(site: Site, role: Role, handler: Handler) -> Handler:
    async def pass_through(request: Request) -> Response:
        token = _token_of(site, request)
        if token is None:
            # It is too long to be guessed; a pause would keep those out who share its address.
            log.warning("wrong token from %s", address_of(request))
            remedy = "Send `Authorization: Bearer TOKEN`; playbooks/api_token.yml makes one."
            return _refuse(401, "bad_token", "The request has no token that is known.", remedy)
        if not token.may(role):
            said = f"{token.name} is {token.role}; this takes the role {role}."
            return _refuse(403, "wrong_role", said, "Use a token that has that role.")
        request.state.who = said_of(token, request)
        try:
            return await handler(request)
        except forms.FormError as error:
            return _refuse(400, "bad_body", str(error), "Send one JSON object in UTF-8.")
        except Refused as error:
            return _refuse(error.status, error.error, error.message, error.remedy)
        except ServiceDown:
            remedy = "Look at the jobs and the audit when it is back."
            return _refuse(503, "service_down", "The control service does not answer.", remedy)

    return pass_through


def _token_of(site: Site, request: Request) -> Token | None:
    kind, _, said = request.headers.get("authorization", "").partition(" ")
    digest = hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()
    known = [each for each in site.config.tokens if hmac.compare_digest(each.token_hash, digest)]
    return known[0] if known and kind.lower() == "bearer" else None


def _pass_on(site: Site, template: str) -> Handler:
    parts = template.strip("/").split("/")

    async def pass_on(request: Request) -> Response:
        named = [request.path_params.get(part.strip("{}"), part) for part in parts]
        query = forms.parse(request.scope["query_string"])
        status, text = await site.service.pass_on(
            request.method, path(*named), request.state.who, await _body(request), query.all()
        )
        if template.endswith("/take") and status == 200:
            # The file itself, as nginx sends it.
            return sent(json.loads(text))
        return Response(text, status, media_type="application/json")

    return pass_on


async def _body(request: Request) -> Any:
    """The JSON of a POST; None where there is none."""
    text = await read_body(request)
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise forms.FormError("It is no JSON.") from None


def _describe(site: Site) -> Handler:
    async def describe(request: Request) -> Response:
        """The service's own description, of what is offered here."""
        said = await site.service.act("GET", _DESCRIPTION, request.state.who)
        paths: dict[str, dict[str, Any]] = {}
        for line in API:
            method, template = line.split(" ")
            found = said["paths"][f"/v1{template}"][method.lower()]
            # The page says these, by the token.
            found["parameters"] = [
                each for each in found.get("parameters", []) if each["name"].lower() not in _OURS
            ]
            paths.setdefault(PREFIX + template, {})[method.lower()] = found
        said["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        said |= {"paths": paths, "security": [{"token": []}]}
        said["info"]["title"] = "Slipway"
        return JSONResponse(said)

    return describe


def _refuse(status: int, error: str, message: str, remedy: str) -> Response:
    return JSONResponse({"error": error, "message": message, "remedy": remedy}, status)
