# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may reach what: each line of the table, with each kind of token, on each socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from slipway_server.api import callers
from slipway_server.api.callers import Caller, SessionDep
from slipway_server.apps import APPS, App, Rule, RuleError, check
from slipway_server.base.tokens import digest_of, new_token

from .choosing import Runner, item, make_chooser
from .conftest import Service, cell
from .path_values import filled
from .test_prune import say
from .test_registrations import report

# What each rule's token opens; all that is not named here is refused.
OPENED_BY: dict[Caller, set[str]] = {
    callers.SESSION: {"backup", "restore", "verify", "service"},
    callers.BACKUP: {"backup"},
    callers.READER: {"restore", "verify"},
    callers.JOB: {"job"},
    callers.REGISTRATION: {"registration"},
    callers.SITE: {"site"},
}
REFUSED = {"bad_token", "session_ended", "wrong_verb"}
NOT_HERE = {"no_such_route", "wrong_method"}
KINDS = (
    "none",
    "nonsense",
    "ended",
    "backup",
    "restore",
    "verify",
    "service",
    "job",
    "registration",
    "site",
)


class Holders:
    """A service, a token of each kind, and an image that paths name."""

    def __init__(self, service: Service) -> None:
        self.service = service
        name, version = service.image(cell("who may"))
        self.values = {"name": name, "version": version}
        self.tokens = {"none": "", "nonsense": "nonsense"}
        for verb in ("backup", "restore", "verify", "service"):
            wanted = {"version": version} if verb in ("restore", "verify") else {}
            self.tokens[verb] = service.machine(verb, image=name, **wanted).token
        gone = service.machine()
        service.admin.delete(f"/v1/sessions/{gone.session}")
        self.tokens["ended"] = gone.token
        self.values["session_id"] = gone.session
        chooser = make_chooser(service, item("shell", "rescue_shell"))
        assert chooser.choose("shell").status_code == 201
        self.tokens["job"] = chooser.token
        asked = service.http.post("/v1/registrations", json=report())
        self.tokens["registration"] = asked.json()["token"]
        self.tokens["site"] = new_token()
        lent = {"token_hash": digest_of(self.tokens["site"]), "images": ["*"]}
        say(service, sites={"berlin": lent})

    def ask(self, door: str, line: str, kind: str, said: dict[str, str] | None = None) -> str:
        """Ask for what a line of the table names; return the type of the refusal, or nothing."""
        method, path = line.split(" ")
        client: httpx.Client = getattr(self.service, door)
        token = self.tokens[kind]
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= said or {}
        options: dict[str, Any] = {} if method == "GET" else {"content": b"{}"}
        headers |= {"Content-Type": "application/json"} if options else {}
        answer = client.request(method, filled(path, **self.values), headers=headers, **options)
        assert answer.status_code < 500, answer.text
        return str(answer.json()["error"]) if answer.status_code >= 400 else ""


@pytest.fixture(scope="module")
def holders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Holders]:
    folder = tmp_path_factory.mktemp("who")
    made = Service(folder, policy_dir=str(folder / "policy"))
    yield Holders(made.start())
    made.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("line", APPS["http"].rules)
def test_a_token_opens_what_it_is_for_and_nothing_else(
    holders: Holders, line: str, kind: str
) -> None:
    caller = APPS["http"].rules[line].caller
    said = holders.ask("http", line, kind)
    if caller is callers.ANYBODY or kind in OPENED_BY[caller]:
        assert said not in REFUSED | NOT_HERE
    else:
        assert said in REFUSED


PAGE = {callers.VIEWER: "viewer", callers.OPERATOR: "operator", callers.ADMIN: "admin"}
FOR_USERS = [line for line, rule in APPS["web"].rules.items() if rule.caller in PAGE]


def as_user(role: str, groups: str = "*") -> dict[str, str]:
    return {
        "Slipway-By": "anna",
        "Slipway-Role": role,
        "Slipway-From": "10.77.0.9",
        "Slipway-Groups": groups,
    }


@pytest.mark.parametrize("role", [*callers.ROLES, "root", ""])
@pytest.mark.parametrize("line", FOR_USERS)
def test_a_user_of_the_page_may_what_the_role_may(holders: Holders, line: str, role: str) -> None:
    least = PAGE[APPS["web"].rules[line].caller]
    said = holders.ask("web", line, "none", as_user(role))
    if role not in callers.ROLES:
        assert said == "bad_request"
    elif callers.ROLES.index(role) < callers.ROLES.index(least):
        assert said == "wrong_role"
    else:
        assert said not in REFUSED | NOT_HERE | {"wrong_role"}


@pytest.mark.parametrize("line", FOR_USERS)
@pytest.mark.parametrize("missing", as_user("admin"))
def test_the_page_says_who_asks(holders: Holders, line: str, missing: str) -> None:
    said = {key: value for key, value in as_user("admin").items() if key != missing}
    assert holders.ask("web", line, "none", said) == "bad_request"


@pytest.mark.parametrize("door", APPS)
def test_a_socket_has_the_routes_of_its_table_and_no_others(holders: Holders, door: str) -> None:
    client: httpx.Client = getattr(holders.service, door)
    paths = client.get("/v1/openapi.json").json()["paths"]
    there = {f"{method.upper()} {path}" for path, found in paths.items() for method in found}
    assert there == set(APPS[door].rules)
    elsewhere = {line for app in APPS.values() for line in app.rules} - there
    assert {holders.ask(door, line, "backup") for line in elsewhere} <= NOT_HERE | {"bad_token"}


def test_the_sockets_of_root_and_the_runner_are_theirs_alone() -> None:
    assert APPS["admin"].mode == 0o600
    assert {rule.caller for rule in APPS["admin"].rules.values()} == {callers.ROOT}
    assert {rule.caller for rule in APPS["runner"].rules.values()} == {
        callers.RUNNER,
        callers.SESSION_OF_A_JOB,
    }
    assert APPS["web"].mode == 0o660
    assert {rule.caller for rule in APPS["web"].rules.values()} == {*PAGE, callers.PAGE}
    of_itself = [key for key, rule in APPS["web"].rules.items() if rule.caller is callers.PAGE]
    assert of_itself == ["POST /v1/guesses"], "what it may without a user"
    assert not {callers.ROOT, callers.RUNNER, *PAGE} & {
        rule.caller for rule in APPS["http"].rules.values()
    }


def test_the_runner_reaches_sessions_of_jobs_alone(holders: Holders) -> None:
    rules = APPS["runner"].rules
    lines = [key for key, rule in rules.items() if rule.caller is callers.SESSION_OF_A_JOB]
    assert [holders.ask("runner", line, "none") for line in lines] == ["wrong_job"] * 2
    runner, chooser = Runner(holders.service), make_chooser(holders.service)
    assert chooser.choose("backup").status_code == 201
    [job] = runner.poll()["begin"]
    made = runner.open_session(job).json()["id"]
    for method in ("GET", "DELETE"):
        answer = holders.service.runner.request(method, f"/v1/sessions/{made}")
        assert answer.status_code == 200


def app_of(*, guarded: bool, caller: Caller | None) -> App:
    router = APIRouter()

    async def with_guard(_: SessionDep) -> None: ...
    async def without() -> None: ...

    router.get("/x")(with_guard if guarded else without)
    return App("x", 0o600, (router,), {} if caller is None else {"GET /x": Rule(caller)})


def test_a_route_without_a_rule_or_with_a_wrong_one_does_not_start() -> None:
    check(app_of(guarded=True, caller=callers.SESSION))
    check(app_of(guarded=False, caller=callers.ANYBODY))
    with pytest.raises(RuleError, match="GET /x"):
        check(app_of(guarded=False, caller=None))
    with pytest.raises(RuleError, match="GET /x"):
        check(App("x", 0o600, (), {"GET /x": Rule(callers.ROOT)}))
    for guarded, caller in (
        (False, callers.SESSION),
        (True, callers.ANYBODY),
        (True, callers.BACKUP),
        (False, callers.ROOT),
    ):
        with pytest.raises(RuleError, match="does not ask for"):
            check(app_of(guarded=guarded, caller=caller))


def test_what_root_does_without_a_line_in_the_audit_does_not_start() -> None:
    router = APIRouter(dependencies=[callers.AS_ROOT])

    async def act() -> None: ...

    router.post("/x")(act)
    for rule, role in ((Rule(callers.ROOT), "administrator"), (Rule(callers.ROOT, None, "x"), "")):
        with pytest.raises(RuleError, match="no word for"):
            check(App("x", 0o600, (router,), {"POST /x": rule}, role=role))
    known = Rule(callers.ROOT, action="do x")
    check(App("x", 0o600, (router,), {"POST /x": known}, role="administrator"))
