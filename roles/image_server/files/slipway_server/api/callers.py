# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks, and what a route may want of him: each rule has one guard, which the route names.

`apps.APPS` says which rule is whose; a route whose guard is another's does not start.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Header, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ..base.errors import ServiceError
from ..base.names import ACCOUNT_PATTERN
from ..images.sites import Site
from ..sessions.session import Session
from ..sessions.verbs import that
from .audited import NoteDep
from .common import ServiceDep
from .reach import GROUPS_PATTERN, measure

_Credentials = HTTPAuthorizationCredentials | None
_bearer = HTTPBearer(auto_error=False, description="the token that the service gave")
_sited = HTTPBearer(auto_error=False, description="the token of another site")
_registered = HTTPBearer(auto_error=False, description="the token that the registration gave")


async def _current_session(
    service: ServiceDep, credentials: Annotated[_Credentials, Depends(_bearer)]
) -> Session:
    """The session of the request's token."""
    return await service.sessions.authenticate(_token(credentials))


SessionDep = Annotated[Session, Depends(_current_session)]


def _session_for(*verbs: str) -> Callable[[Session], Awaitable[Session]]:
    async def check(item: SessionDep) -> Session:
        if item.verb not in verbs:
            raise ServiceError(
                "wrong_verb", f"A session for {item.verb} can't do this: {' or '.join(verbs)} can."
            )
        return item

    return check


_backup, _reader = _session_for(*that("writes")), _session_for(*that("reads"))
BackupDep = Annotated[Session, Depends(_backup)]
ReaderDep = Annotated[Session, Depends(_reader)]


async def _current_job(
    service: ServiceDep, credentials: Annotated[_Credentials, Depends(_bearer)]
) -> dict[str, Any]:
    """The job of the request's token, as its machine sees it. Asking is a sign of life."""
    return service.runs.status(service.jobs.authenticate(_token(credentials)))


JobDep = Annotated[dict[str, Any], Depends(_current_job)]


async def _current_registration(
    service: ServiceDep, credentials: Annotated[_Credentials, Depends(_registered)]
) -> dict[str, Any]:
    """The registration of the request's token, as its PC sees it."""
    token = _token(credentials, "Register again.")
    return service.registrations.own_view(service.registrations.own(token))


async def _current_site(
    service: ServiceDep, credentials: Annotated[_Credentials, Depends(_sited)]
) -> Site:
    """The site of the request's token."""
    return await service.run(service.sites.of, _token(credentials, "See policy_replicate."))


SiteDep = Annotated[Site, Depends(_current_site)]
RegistrationDep = Annotated[dict[str, Any], Depends(_current_registration)]


async def _session_of_a_job(session_id: Annotated[str, Path()], service: ServiceDep) -> None:
    """A session that belongs to a job: the runner has no business with others."""
    if service.sessions.get(session_id).job is None:
        raise ServiceError("wrong_job", "That session is not of a job.")


OF_A_JOB = Depends(_session_of_a_job)


async def _account(
    note: NoteDep,
    by: Annotated[str, Header(alias="slipway-by", pattern=f"^{ACCOUNT_PATTERN}$")] = "root",
) -> str:
    """The account that asks. Only root can connect, so its word for that is good enough."""
    note.who = by
    return by


ByDep = Annotated[str, Depends(_account)]


async def _as_root(_: ByDep) -> None:
    """Root asks, on behalf of the account that it names."""


AS_ROOT = Depends(_as_root)


# Of the page's users; each may do what those before it may.
ROLES = ("viewer", "operator", "admin")


def _of_the_page(least: str) -> Callable[..., Awaitable[None]]:
    async def check(
        note: NoteDep,
        by: Annotated[str, Header(alias="slipway-by", pattern=f"^{ACCOUNT_PATTERN}$")],
        role: Annotated[Literal["viewer", "operator", "admin"], Header(alias="slipway-role")],
        address: Annotated[str, Header(alias="slipway-from", pattern="^[0-9a-f.:]{1,45}$")],
        groups: Annotated[str, Header(alias="slipway-groups", pattern=GROUPS_PATTERN)],
        request: Request,
        service: ServiceDep,
    ) -> None:
        """The page says who asks, as what, from where, and of whose; it alone can connect."""
        note.who, note.role, note.where = by, role, f"page, {address}"
        if ROLES.index(role) < ROLES.index(least):
            raise ServiceError("wrong_role", f"{by} is {role}; this takes the role {least}.")
        await measure(request, service, groups)

    return check


_viewer, _operator, _admin = map(_of_the_page, ROLES)


def _token(credentials: _Credentials, remedy: str = "") -> str:
    if credentials is None:
        raise ServiceError("bad_token", "The request carries no token.", remedy)
    return credentials.credentials


@dataclass(frozen=True)
class Caller:
    """Who may ask. ``guard`` is the dependency that sees to it; None: the socket alone does."""

    who: str
    guard: Callable[..., Any] | None = None


ANYBODY = Caller("anybody")
# Who may connect to the socket decides.
ROOT = Caller("root on the image server", _as_root)
RUNNER = Caller("the job runner")
TELLER = Caller("the process that tells people")
SITE = Caller("the token of another site", _current_site)
PULLER = Caller("the process that pulls from other sites")
MAKER = Caller("the job that makes media")
WATCHER = Caller("who watches the server, by nginx")
SESSION = Caller("the token of an open session", _current_session)
BACKUP = Caller("the token of an open session that backs up", _backup)
READER = Caller("the token of an open session that restores or verifies", _reader)
JOB = Caller("the token of a job", _current_job)
REGISTRATION = Caller("the token of a registration", _current_registration)
SESSION_OF_A_JOB = Caller("the job runner, of a session that is a job's", _session_of_a_job)
PAGE = Caller("the page itself")
VIEWER = Caller("a user of the page", _viewer)
OPERATOR = Caller("an operator or administrator of the page", _operator)
ADMIN = Caller("an administrator of the page", _admin)
# Who acts as a person.
PEOPLE = (ROOT, VIEWER, OPERATOR, ADMIN)
CALLERS = (
    *PEOPLE,
    ANYBODY,
    RUNNER,
    TELLER,
    MAKER,
    WATCHER,
    SITE,
    PULLER,
    PAGE,
    SESSION,
    BACKUP,
    READER,
    JOB,
    REGISTRATION,
    SESSION_OF_A_JOB,
)
