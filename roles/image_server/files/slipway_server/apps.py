# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may reach what: one table of the routes of each socket, and what each asks of its caller.

A route that is not in the table, a line without a route, and a rule that the route's handler does
not hold end the program when this is imported: nothing is reachable by an oversight.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from .api import (
    arrivals,
    audit,
    audited,
    checks,
    choices,
    chunks,
    contents,
    copies,
    history,
    identities,
    image_changes,
    images,
    jobs,
    next_boots,
    page,
    registrations,
    schedules,
    sessions,
    simulation,
    status,
    telling,
    upkeep,
    whereabouts,
)
from .api.callers import (
    ADMIN,
    ANYBODY,
    BACKUP,
    CALLERS,
    JOB,
    MAKER,
    OPERATOR,
    PAGE,
    PEOPLE,
    PULLER,
    READER,
    REGISTRATION,
    ROOT,
    RUNNER,
    SESSION,
    SESSION_OF_A_JOB,
    SITE,
    TELLER,
    VIEWER,
    WATCHER,
    Caller,
)
from .api.common import make_app
from .api.models.common import MAX_HARDWARE
from .api.models.images import MAX_QUERY
from .api.models.registrations import MAX_HARDWARE as MAX_REGISTRATION
from .api.models.sessions import MAX_PROGRESS
from .base.bodies import Bound
from .service import Service


@dataclass(frozen=True)
class Rule:
    """What a route asks of its caller, and what body it takes."""

    caller: Caller
    # None: the handler reads it, piece by piece.
    bound: Bound | None = dataclasses.field(default_factory=Bound)
    # What the audit calls it; None: it is no action of a person.
    action: str | None = None


@dataclass(frozen=True)
class App:
    """What one socket offers. ``mode``: who may connect when it is made by hand."""

    title: str
    mode: int
    routers: tuple[APIRouter, ...]
    rules: Mapping[str, Rule]
    # Whether anybody at all may send something, as through nginx.
    public: bool = False
    # What people are who come through it, in the audit; empty: none do.
    role: str = ""


# Text in JSON may take three times the bytes that it has in UTF-8.
_HARDWARE = Bound(4 * MAX_HARDWARE, 1 << 13)
_QUERY = Bound(128 * MAX_QUERY, 3 * MAX_QUERY)
_ROOT, _RUNNER, _VIEWER = Rule(ROOT), Rule(RUNNER), Rule(VIEWER)


def _root(action: str) -> Rule:
    return Rule(ROOT, action=action)


APPS: dict[str, App] = {
    # Through nginx, for machines and whoever else is in their networks.
    "http": App(
        "Slipway image server",
        0o660,
        (
            arrivals.machine,
            sessions.machine,
            chunks.machine,
            images.machine,
            choices.machine,
            registrations.machine,
            copies.site,
        ),
        {
            "GET /boot/{mac}.ipxe": Rule(ANYBODY),
            "POST /v1/checkin": Rule(ANYBODY, _HARDWARE),
            "POST /v1/pending": Rule(ANYBODY, Bound(1 << 12, 1 << 6)),
            "POST /v1/choices": Rule(ANYBODY, _HARDWARE, "choose an item"),
            "GET /v1/choices/current": Rule(JOB),
            "POST /v1/registrations": Rule(ANYBODY, Bound(8 * MAX_REGISTRATION, 1 << 12)),
            "GET /v1/registrations/current": Rule(REGISTRATION),
            "GET /v1/session": Rule(SESSION),
            "POST /v1/session/heartbeat": Rule(SESSION, Bound(1 << 10, 1 << 4)),
            "POST /v1/session/progress": Rule(SESSION, Bound(4 * MAX_PROGRESS, 1 << 12)),
            "POST /v1/session/postpone": Rule(SESSION, Bound(1 << 10, 1 << 4)),
            "POST /v1/session/result": Rule(SESSION),
            "POST /v1/chunks/query": Rule(BACKUP, _QUERY),
            "PUT /v1/chunks/{digest}": Rule(BACKUP, None),
            "GET /v1/chunks/{digest}": Rule(READER),
            "POST /v1/images/{name}": Rule(BACKUP, None),
            "GET /v1/images": Rule(SESSION),
            "GET /v1/images/{name}/{version}": Rule(READER),
            "GET /v1/site/images": Rule(SITE),
            "GET /v1/site/images/{name}/{version}": Rule(SITE),
            "GET /v1/site/images/{name}/{version}/chunks/{digest}": Rule(SITE),
        },
        public=True,
        role="user",
    ),
    # For root on the image server.
    "admin": App(
        "Slipway image server, administration",
        0o600,
        (
            sessions.admin,
            images.admin,
            checks.admin,
            contents.admin,
            image_changes.admin,
            upkeep.admin,
            schedules.admin,
            jobs.admin,
            next_boots.admin,
            registrations.admin,
            identities.admin,
            status.admin,
            history.admin,
            simulation.admin,
            whereabouts.admin,
            audit.admin,
        ),
        {
            "POST /v1/sessions": _root("open a session"),
            "GET /v1/sessions": _ROOT,
            "GET /v1/sessions/{session_id}": _ROOT,
            "DELETE /v1/sessions/{session_id}": _root("end a session"),
            "GET /v1/images": _ROOT,
            "GET /v1/images/{name}": _ROOT,
            "GET /v1/images/{name}/{version}": _ROOT,
            "POST /v1/images/{name}/{version}/check": _root("check an image"),
            "GET /v1/images/{name}/{version}/check": _ROOT,
            "GET /v1/images/{name}/{version}/contents": _ROOT,
            "DELETE /v1/images/{name}": _root("delete an image"),
            "DELETE /v1/images/{name}/{version}": _root("delete a version"),
            "POST /v1/images/{name}/label": _root("say something of an image"),
            "POST /v1/images/{name}/copy": _root("copy an image"),
            "POST /v1/images/{name}/rename": _root("rename an image"),
            "GET /v1/aliases": _ROOT,
            "POST /v1/aliases/{alias}": _root("point an alias"),
            "DELETE /v1/aliases/{alias}": _root("remove an alias"),
            "GET /v1/trash": _ROOT,
            "POST /v1/trash/undelete": _root("undelete"),
            "POST /v1/trash/empty": _root("empty the trash"),
            "POST /v1/policy/effect": _root("look at what a policy would do"),
            "GET /v1/prune": _ROOT,
            "GET /v1/prune/with": _ROOT,
            "POST /v1/prune": _root("prune"),
            "GET /v1/upkeep": _ROOT,
            "POST /v1/collect": _root("collect"),
            "POST /v1/scrub": _root("scrub"),
            "GET /v1/schedules": _ROOT,
            "GET /v1/schedules/{name}": _ROOT,
            "POST /v1/schedules/{name}/run": _root("run a schedule"),
            "POST /v1/schedules/{name}/pause": _root("pause a schedule"),
            "POST /v1/schedules/{name}/skip": _root("leave a window out"),
            "GET /v1/jobs": _ROOT,
            "POST /v1/jobs": _root("order a job"),
            "GET /v1/jobs/{job_id}": _ROOT,
            "GET /v1/jobs/{job_id}/output": _ROOT,
            "DELETE /v1/jobs/{job_id}": _root("cancel a job"),
            "GET /v1/menus/{machine}": _ROOT,
            "GET /v1/next-boots": _ROOT,
            "POST /v1/next-boots": _root("order a boot"),
            "DELETE /v1/next-boots/{machine}": _root("take a boot back"),
            "GET /v1/registrations": _ROOT,
            "POST /v1/registrations/{key}/approve": _root("approve a registration"),
            "POST /v1/registrations/{key}/refuse": _root("refuse a registration"),
            "POST /v1/registrations/{key}/wish": _root("decide on a registration"),
            "GET /v1/identities": _ROOT,
            "DELETE /v1/identities/{machine}": _root("forget an identity"),
            "GET /v1/strangers": _ROOT,
            "GET /v1/audit": _ROOT,
            "GET /v1/status": _ROOT,
            "GET /v1/room": _ROOT,
            "GET /v1/backups/{machine}": _ROOT,
            "GET /v1/whereabouts/{machine}": _ROOT,
        },
        role="administrator",
    ),
    # For the job runner. It is not the administrator: whoever takes it over can run the jobs that
    # PCs' users have asked for, and no others.
    "runner": App(
        "Slipway image server, job runner",
        0o660,
        (jobs.runner, sessions.runner, whereabouts.runner),
        {
            "POST /v1/jobs/poll": _RUNNER,
            "POST /v1/jobs/{job_id}/output": _RUNNER,
            "POST /v1/jobs/{job_id}/end": _RUNNER,
            "POST /v1/sessions": _RUNNER,
            "GET /v1/whereabouts/{machine}": _RUNNER,
            "GET /v1/sessions/{session_id}": Rule(SESSION_OF_A_JOB),
            "DELETE /v1/sessions/{session_id}": Rule(SESSION_OF_A_JOB),
        },
    ),
    # For the process that tells people. It has secrets of mail servers, and the network.
    "teller": App(
        "Slipway image server, telling",
        0o660,
        (telling.teller,),
        {
            "POST /v1/sinks": Rule(TELLER),
            "GET /v1/sinks/{sink}": Rule(TELLER),
            "POST /v1/sinks/{sink}": Rule(TELLER),
        },
    ),
    # For the process that pulls versions from other sites. It has their tokens, and the network.
    "puller": App(
        "Slipway image server, pulling",
        0o660,
        (copies.puller,),
        {
            "GET /v1/copies/{name}": Rule(PULLER),
            "GET /v1/copies/{name}/{version}": Rule(PULLER),
            "POST /v1/copies/{name}/{version}/query": Rule(PULLER),
            "PUT /v1/copies/{name}/{version}/chunks/{digest}": Rule(PULLER, None),
            "POST /v1/copies/{name}/{version}": Rule(PULLER, None),
            "POST /v1/replications": Rule(PULLER),
        },
    ),
    # For the job that makes media: it reads the store, as the service's user, and changes nothing.
    "maker": App(
        "Slipway image server, making media",
        0o660,
        (chunks.maker,),
        {"POST /v1/chunks/sound": Rule(MAKER, _QUERY)},
    ),
    # For nginx, on behalf of the addresses that may see the server in numbers.
    "metrics": App(
        "Slipway image server, metrics", 0o660, (telling.watcher,), {"GET /metrics": Rule(WATCHER)}
    ),
    # For the page. It is not the administrator either: whoever takes it over can do what stands
    # here. It says who asks and as what, and the service looks at that once more.
    "web": App(
        "Slipway image server, the page",
        0o660,
        (page.router, telling.page),
        {
            "POST /v1/guesses": Rule(PAGE),
            "GET /v1/overview": _VIEWER,
            "GET /v1/machines": _VIEWER,
            "GET /v1/machines/{machine}": _VIEWER,
            "GET /v1/jobs": _VIEWER,
            "GET /v1/jobs/{job_id}": _VIEWER,
            "GET /v1/jobs/{job_id}/output": _VIEWER,
            "GET /v1/sessions": _VIEWER,
            "GET /v1/sessions/{session_id}": _VIEWER,
            "GET /v1/image-list": _VIEWER,
            "GET /v1/images": _VIEWER,
            "GET /v1/images/{name}": _VIEWER,
            "GET /v1/images/{name}/{version}/check": _VIEWER,
            "GET /v1/images/{name}/{version}/contents": _VIEWER,
            "GET /v1/trash": _VIEWER,
            "GET /v1/registrations": _VIEWER,
            "GET /v1/prune": _VIEWER,
            "GET /v1/prune/with": _VIEWER,
            "GET /v1/upkeep": _VIEWER,
            "GET /v1/status": _VIEWER,
            "GET /v1/room": _VIEWER,
            "GET /v1/backups/{machine}": _VIEWER,
            "GET /v1/schedules": _VIEWER,
            "GET /v1/schedules/{name}": _VIEWER,
            "GET /v1/audit": Rule(ADMIN),
            "GET /v1/plan": Rule(OPERATOR),
            "POST /v1/jobs": Rule(OPERATOR, action="order a job"),
            "DELETE /v1/jobs/{job_id}": Rule(OPERATOR, action="cancel a job"),
            "DELETE /v1/sessions/{session_id}": Rule(OPERATOR, action="end a session"),
            "POST /v1/next-boots/{machine}": Rule(OPERATOR, action="order a boot"),
            "DELETE /v1/next-boots/{machine}": Rule(OPERATOR, action="take a boot back"),
            "POST /v1/images/{name}/{version}/check": Rule(OPERATOR, action="check an image"),
            "GET /v1/images/{name}/{version}/files": Rule(OPERATOR),
            "POST /v1/images/{name}/{version}/downloads": Rule(
                OPERATOR, action="take something out of an image"
            ),
            "GET /v1/downloads": Rule(OPERATOR),
            "GET /v1/downloads/{key}": Rule(OPERATOR),
            "POST /v1/downloads/{key}/take": Rule(OPERATOR, action="download"),
            "DELETE /v1/downloads/{key}": Rule(OPERATOR, action="remove a download"),
            "POST /v1/schedules/{name}/run": Rule(OPERATOR, action="run a schedule"),
            "POST /v1/schedules/{name}/pause": Rule(OPERATOR, action="pause a schedule"),
            "POST /v1/schedules/{name}/skip": Rule(OPERATOR, action="leave a window out"),
            "POST /v1/images/{name}/label": Rule(OPERATOR, action="say something of an image"),
            "DELETE /v1/images/{name}/{version}": Rule(ADMIN, action="delete a version"),
            "POST /v1/trash/undelete": Rule(ADMIN, action="undelete"),
            "POST /v1/images/{name}/copy": Rule(ADMIN, action="copy an image"),
            "POST /v1/images/{name}/rename": Rule(ADMIN, action="rename an image"),
            "POST /v1/aliases/{alias}": Rule(ADMIN, action="point an alias"),
            "DELETE /v1/aliases/{alias}": Rule(ADMIN, action="remove an alias"),
            "POST /v1/collect": Rule(ADMIN, action="collect"),
            "POST /v1/prune": Rule(ADMIN, action="prune"),
            "POST /v1/registrations/{key}/refuse": Rule(ADMIN, action="refuse a registration"),
            "POST /v1/registrations/{key}/wish": Rule(ADMIN, action="decide on a registration"),
        },
        role="user of the page",
    ),
}


class RuleError(Exception):
    """The table and the routes say different things."""


def routes_of(app: App) -> Iterator[tuple[str, APIRoute]]:
    """Each route by its method and path."""
    for router in app.routers:
        for route in router.routes:
            if not isinstance(route, APIRoute):
                raise RuleError(f"{route} is no route that a rule could be for")
            for method in route.methods or ():
                yield f"{method} {route.path}", route


def check(app: App) -> None:
    """RuleError unless each route has its rule and holds it."""
    found = dict(routes_of(app))
    if found.keys() != app.rules.keys():
        raise RuleError(f"route or rule alone: {sorted(found.keys() ^ app.rules.keys())}")
    guards = {caller.guard for caller in CALLERS if caller.guard is not None}
    for key, route in found.items():
        held = {each.call for each in route.dependant.dependencies} & guards
        guard = app.rules[key].caller.guard
        if held != ({guard} if guard else set()):
            raise RuleError(f"{key} does not ask for {app.rules[key].caller.who}")
        # Who acts as a person leaves a line: with a name, and by what the route is called.
        acts = app.rules[key].caller in PEOPLE and not key.startswith("GET ")
        if acts and (app.rules[key].action is None or not app.role):
            raise RuleError(f"{key} is an action that the audit has no word for")


for _app in APPS.values():
    check(_app)


def _bounds(app: App) -> Callable[[str, str], Bound | None]:
    """What a body may be, by method and path; None: the handler reads it."""
    exact, streamed = {}, []
    for key, rule in app.rules.items():
        method, path = key.split(" ")
        if rule.bound is None:
            streamed.append(re.compile(re.sub("{[a-z]+}", "[^/]*", path) + r"\Z"))
        elif app.public and method == "POST":
            needs_token = rule.caller.guard is not None
            exact[path] = dataclasses.replace(rule.bound, needs_token=needs_token)
    others = Bound() if app.public else Bound(needs_token=False)
    # Other methods need no body; a short one does no harm, from who has a token: others would hold
    # a place here for as long as it takes.
    none = Bound(1 << 10, 1 << 4) if app.public else others

    def bound_of(method: str, path: str) -> Bound | None:
        if method == "POST" and path in exact:
            return exact[path]
        if method in ("PUT", "POST") and any(each.match(path) for each in streamed):
            return None
        return others if method == "POST" else none

    return bound_of


def build(name: str, service: Service) -> FastAPI:
    """The application of one socket."""
    app = APPS[name]
    made = make_app(service, app.title, _bounds(app))
    actions = {key: rule.action for key, rule in app.rules.items() if rule.action}
    if actions:
        where = None if app.public else f"{name} socket"
        made.add_middleware(
            audited.Audited, audit=service.audit, verbs=actions, role=app.role, where=where
        )
    # As they are: a router that is included has all its routes made once more, when the first
    # request comes.
    made.router.routes += [route for router in app.routers for route in router.routes]
    return made
