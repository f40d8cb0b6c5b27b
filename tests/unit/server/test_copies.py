# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions between sites: what another may read, and what comes from another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from slipway.format.codec import parse, serialize
from slipway.format.frames import digest_of, make_frame
from slipway_server.base import tokens
from slipway_server.base.policy_files import PolicyError
from slipway_server.images.policy import parse as parse_policy
from slipway_server.transfers.copies import Copies

from . import worlds
from .conftest import Service, cell, manifest_of
from .test_prune import age, chunks, say
from .test_schedules import wait_for
from .test_telling import admit, of_kind

VERSION, CREATED = "20260101T000000Z", "2026-01-01T00:00:00Z"
HERE = f"/v1/copies/far/{VERSION}"


def elsewhere(*contents: bytes, name: str = "far") -> bytes:
    """The manifest of a version that another site has."""
    return serialize(parse(manifest_of(name, *contents)).stamped(VERSION, CREATED, 77))


def bring(service: Service, content: bytes) -> httpx.Response:
    return service.puller.put(f"{HERE}/chunks/{digest_of(content)}", content=make_frame(content))


@pytest.fixture
def here(own_service: Callable[..., Service], tmp_path: Path) -> Service:
    return own_service(policy_dir=str(tmp_path / "0/policy"), tell_seconds=1)


def test_a_version_comes_as_it_is_there_and_last(here: Service) -> None:
    ours, new = cell("ours"), cell("new")
    here.image(ours)
    ask = {"digests": [digest_of(each) for each in (ours, new)]}
    assert here.puller.get("/v1/copies/far").json() == {"versions": []}
    assert here.puller.get(HERE).json()["error"] == "unknown_image"
    # The puller is told of all chunks that are here: what another image has does not travel.
    answer = here.puller.post(f"{HERE}/query", json=ask)
    assert answer.json() == {"missing": [digest_of(new)]}
    early = here.puller.post(HERE, content=elsewhere(ours, new))
    assert (early.status_code, early.json()["missing"]) == (409, [digest_of(new)])
    wrong = here.puller.put(f"{HERE}/chunks/{digest_of(new)}", content=make_frame(cell("x")))
    assert wrong.json()["error"] == "wrong_content"
    assert [bring(here, new).status_code for _ in range(2)] == [201, 200]
    for code in (201, 200):
        assert here.puller.post(HERE, content=elsewhere(ours, new)).status_code == code
    found = parse(here.puller.get(HERE).content)
    sizes = sum(here.chunk_path(each).stat().st_size for each in (ours, new))
    assert (found.version, found.created, found.stored_bytes) == (VERSION, CREATED, sizes)
    assert here.puller.get("/v1/copies/far").json() == {"versions": [VERSION]}
    assert here.admin.post(f"/v1/images/far/{VERSION}/check").json()["state"] == "sound"


@pytest.mark.parametrize(
    "text", [elsewhere(cell("x"), name="near"), manifest_of("far", cell("x")), b"{}", b""]
)
def test_what_is_not_that_version_does_not_come(here: Service, text: bytes) -> None:
    bring(here, cell("x"))
    assert here.puller.post(HERE, content=text).json()["error"] == "bad_manifest"
    assert here.puller.get("/v1/copies/far").json() == {"versions": []}


def test_what_was_deleted_here_and_what_hides_an_alias_does_not_come(here: Service) -> None:
    content = cell("deleted")
    bring(here, content)
    assert here.puller.post(HERE, content=elsewhere(content)).status_code == 201
    assert here.admin.delete(f"/v1/images/far/{VERSION}").status_code == 200
    assert here.puller.get("/v1/copies/far").json() == {"versions": [VERSION]}
    answer = here.puller.post(HERE, content=elsewhere(content))
    assert (answer.status_code, answer.json()["error"]) == (409, "name_taken")
    name, _ = here.image(cell("aliased"))
    say(here, aliases={"base": name})
    asked = here.puller.post(f"/v1/copies/base/{VERSION}/query", json={"digests": []})
    assert asked.json()["error"] == "is_alias"


def test_what_has_come_of_a_version_stays_while_the_rest_comes(tmp_path: Path) -> None:
    service, world = worlds.make(tmp_path)
    try:
        service.start()
        first, second, old = cell("first"), cell("second"), cell("old")
        bring(service, old)
        age(service, 5)
        bring(service, first)
        # Two days, as far as the clock knows, in which one version comes.
        world.set_clock(2 * worlds.DAY)
        assert service.admin.post("/v1/collect").json()["removed"] == 1
        assert service.chunk_path(first).exists() and not service.chunk_path(old).exists()
        bring(service, second)
        assert service.puller.post(HERE, content=elsewhere(first, second)).status_code == 201
        # What comes no more is freed like what a backup has left.
        bring(service, cell("given up"))
        service.restart()
        age(service, 3)
        assert service.admin.post("/v1/collect").json()["removed"] == 1
        assert len(chunks(service)) == 2
    finally:
        service.close()


def test_a_version_of_which_nothing_is_heard_is_given_up() -> None:
    now, begun = 0.0, []
    copies = Copies(None, None, begun.append, lambda: now)  # type: ignore[arg-type]
    copies.hear("far", VERSION)
    [began] = copies.begins().values()
    now = 800.0
    copies.hear("far", VERSION)
    now = 1600.0
    assert list(copies.begins().values()) == [began] == begun
    now = 1701.0
    assert copies.begins() == {}
    copies.hear("far", VERSION)
    copies.over("far", VERSION)
    assert copies.begins() == {}


class Reader:
    """Another site, which has a token."""

    def __init__(self, service: Service, token: str) -> None:
        self.service = service
        self.headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> httpx.Response:
        return self.service.http.get(f"/v1/site{path}", headers=self.headers)


def test_another_site_reads_what_it_may_and_no_more(here: Service) -> None:
    names = {}
    for content in (cell("lent"), cell("kept")):
        name, version = here.image(content)
        names[name] = (version, digest_of(content))
    (lent, (version, chunk)), (kept, (other, secret)) = names.items()
    token = tokens.new_token()
    say(here, sites={"berlin": {"token_hash": tokens.digest_of(token), "images": [lent]}})
    site = Reader(here, token)
    [image] = site.get("/images").json()["images"]
    assert (image["name"], [each["version"] for each in image["versions"]]) == (lent, [version])
    assert parse(site.get(f"/images/{lent}/{version}").content).name == lent
    frame = site.get(f"/images/{lent}/{version}/chunks/{chunk}").content
    assert frame == make_frame(cell("lent"))
    for path in (
        f"/images/{kept}/{other}",
        f"/images/{kept}/{other}/chunks/{secret}",
        f"/images/{lent}/{version}/chunks/{secret}",
    ):
        assert site.get(path).json()["error"] == "wrong_image", path
    assert site.get(f"/images/{lent}/{VERSION}").json()["error"] == "unknown_version"
    assert Reader(here, tokens.new_token()).get("/images").json()["error"] == "bad_token"
    # Who is no longer named reads nothing more.
    say(here, sites={})
    assert site.get("/images").json()["error"] == "bad_token"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"berlin": {"token_hash": "x", "images": ["*"]}}, "policy_sites.berlin.token_hash"),
        ({"berlin": {"token_hash": "0" * 64, "images": []}}, "policy_sites.berlin.images"),
        ({"berlin": {"token_hash": "0" * 64, "images": ["PC*"]}}, "must be an image's name"),
        ({"berlin": {"tokn_hash": "0" * 64, "images": ["*"]}}, "(did you mean token_hash?)"),
        ({"Ber lin": {"token_hash": "0" * 64, "images": ["*"]}}, "must be a name of lower-case"),
    ],
)
def test_sites_that_can_not_be_meant(said: dict[str, Any], words: str) -> None:
    with pytest.raises(PolicyError) as refused:
        parse_policy({"sites": said})
    assert any(words in each for each in refused.value.problems), refused.value.problems


def test_what_did_not_come_is_told_once(here: Service) -> None:
    admit(here, "mail")

    def note(**sites: str | None) -> None:
        body = {name: {"problem": each, "copied": 0} for name, each in sites.items()}
        assert here.puller.post("/v1/replications", json={"sites": body}).status_code == 204

    note(berlin=None, bonn=None)
    note(berlin="chunk 12 is bad", bonn=None)
    [told] = wait_for(lambda: of_kind(here, "replication_failed"))
    assert told["subject"] == "versions of 1 other site did not come"
    assert told["lines"] == ["berlin: chunk 12 is bad"]
    note(berlin="it does not answer", bonn=None)
    warnings = json.dumps(here.admin.get("/v1/status").json()["warnings"])
    assert "berlin: it does not answer" in warnings
    assert 'slipway_upkeep_problem{work="replication"} 1' in here.metrics.get("/metrics").text
    note(berlin=None, bonn=None)
    assert "berlin" not in json.dumps(here.admin.get("/v1/status").json()["warnings"])
    assert len(of_kind(here, "replication_failed")) == 1
