# SPDX-License-Identifier: GPL-3.0-or-later
"""Deduplication tells a session nothing of others' images and gives it none of their chunks."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from slipway.format.codec import parse
from slipway.format.frames import make_frame
from slipway.format.proofs import digest_and_key, make_proof
from slipway_server.base.errors import ServiceError
from slipway_server.images.memory import Memory
from slipway_server.images.store import ChunkStore, Fingerprint
from slipway_server.images.sync_marks import SyncMarks
from slipway_server.sessions.session import Session, proof_nonce
from slipway_server.transfers import quota
from slipway_server.transfers.claims import Claims
from slipway_server.transfers.digest_sets import DigestSet
from slipway_server.transfers.grants import Grants

from .conftest import CELL, Machine, Service, cell, manifest_of

NOBODYS = "ab" * 32


def ask(pc: Machine, digests: Sequence[str], proofs: Sequence[str] | None = None) -> list[str]:
    body: dict[str, Any] = {"digests": list(digests)}
    if proofs is not None:
        body["proofs"] = list(proofs)
    answer = pc.request("POST", "/v1/chunks/query", json=body)
    assert answer.status_code == 200, answer.text
    missing: list[str] = answer.json()["missing"]
    return missing


def nonce_of(pc: Machine) -> str:
    return str(pc.request("GET", "/v1/session").json()["proof_nonce"])


def proof_of(pc: Machine, content: bytes) -> str:
    return make_proof(*digest_and_key(content), nonce_of(pc))


def name_of(content: bytes) -> str:
    return digest_and_key(content)[0]


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def test_asking_says_nothing_of_what_others_have(service: Service) -> None:
    secret = cell("somebody else's payroll")
    service.image(secret)
    liar = service.machine()
    assert ask(liar, [name_of(secret), NOBODYS]) == [name_of(secret), NOBODYS]
    zeros = ["0" * 32] * 2
    assert ask(liar, [name_of(secret), NOBODYS], zeros) == [name_of(secret), NOBODYS]


def test_a_chunk_that_was_never_sent_is_not_given(service: Service) -> None:
    secret, own = cell("not yours"), cell("a liar's own")
    name, version = service.image(secret)
    liar = service.machine()
    liar.put(own)
    answer = liar.publish(own, secret)
    assert refused(answer) == (409, "missing_chunks")
    assert answer.json()["missing"] == [name_of(secret)]
    nobody = liar.request(
        "POST",
        f"/v1/images/{liar.name}",
        content=manifest_of(liar.name, own, cell("nobody has this")),
    )
    assert nobody.json()["message"] == answer.json()["message"]
    assert service.admin.get(f"/v1/images/{liar.name}").status_code == 404
    assert service.admin.get(f"/v1/images/{name}/{version}").status_code == 200
    liar.put(secret)
    assert liar.publish(own, secret).status_code == 201


def test_wrong_proofs_prove_nothing(service: Service) -> None:
    secret, other = cell("proven only by its content"), cell("another content")
    service.image(secret)
    service.image(other)
    liar, twin = service.machine(), service.machine()
    digest, key = digest_and_key(secret)
    for wrong in (
        proof_of(twin, secret),  # of another session
        proof_of(liar, other),  # of another chunk
        make_proof(digest, bytes.fromhex(digest), nonce_of(liar)),  # of who knows the name alone
        make_proof(name_of(other), key, nonce_of(liar)),
        make_proof(digest, key, nonce_of(liar))[:-1] + "x",
    ):
        answer = liar.request(
            "POST", "/v1/chunks/query", json={"digests": [digest], "proofs": [wrong]}
        )
        assert answer.status_code == 422 or answer.json() == {"missing": [digest]}
    assert refused(liar.publish(secret)) == (409, "missing_chunks")


@pytest.mark.parametrize("proofs", [[], ["0" * 32] * 2, ["0" * 31], ["G" * 32], [5], "0" * 32])
def test_proofs_that_do_not_fit_the_question(service: Service, proofs: Any) -> None:
    pc = service.machine()
    body = {"digests": [NOBODYS], "proofs": proofs}
    assert pc.request("POST", "/v1/chunks/query", json=body).status_code == 422


def test_a_twin_proves_and_sends_nothing(service: Service) -> None:
    contents = [cell(f"installed everywhere {number}") for number in range(3)]
    service.image(*contents)
    twin = service.machine()
    digests = [name_of(content) for content in contents]
    assert ask(twin, digests, [proof_of(twin, content) for content in contents]) == []
    # Once is enough: it is noted, and asking again needs no proof.
    assert ask(twin, digests) == []
    assert twin.publish(*contents).status_code == 201


def test_an_image_knows_the_chunks_of_all_its_versions(service: Service) -> None:
    first, second, fresh = cell("monday"), cell("tuesday"), cell("wednesday")
    for contents in ((first,), (second,)):
        pc = service.machine(image="weekly")
        for content in contents:
            pc.put(content)
        assert pc.publish(*contents, name="weekly").status_code == 201
        service.admin.delete(f"/v1/sessions/{pc.session}", params={"outcome": "done"})
    pc = service.machine(image="weekly")
    digests = [name_of(content) for content in (first, second, fresh)]
    assert ask(pc, digests) == [name_of(fresh)]
    pc.put(fresh)
    assert pc.publish(first, second, fresh, name="weekly").status_code == 201


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_costs_a_backup_nothing(
    own_service: Callable[..., Service], number: signal.Signals
) -> None:
    service = own_service()
    shared, own = cell("shared"), cell("own")
    service.image(shared)
    pc = service.machine()
    proof = proof_of(pc, shared)
    assert ask(pc, [name_of(shared)], [proof]) == []
    pc.put(own)
    service.restart(number)
    assert proof_of(pc, shared) == proof
    assert ask(pc, [name_of(shared), name_of(own)]) == []
    answer = pc.publish(shared, own)
    assert answer.status_code == 201
    service.restart(number)
    assert pc.publish(shared, own).json() == answer.json()


def test_what_was_noted_goes_with_the_session(own_service: Callable[..., Service]) -> None:
    service = own_service()
    keeper, leaver = service.machine(), service.machine()
    keeper.put(cell("kept"))
    leaver.put(cell("left behind"))
    service.admin.delete(f"/v1/sessions/{leaver.session}")

    def noted() -> set[str]:
        with contextlib.closing(sqlite3.connect(service.state / "grants.sqlite3")) as db:
            return {row[0] for row in db.execute("SELECT session FROM grants")}

    deadline = time.monotonic() + 10
    while noted() != {keeper.session} and time.monotonic() < deadline:
        time.sleep(0.05)
    assert noted() == {keeper.session}


def test_without_its_memory_the_server_wants_a_chunk_once_more(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    sent, read = cell("is sent again"), cell("is read through")
    service.image(sent)
    name, version = service.image(read)
    service.stop()
    for path in service.state.glob("memory.sqlite3*"):
        path.unlink()
    service.start()
    pc = service.machine()
    assert ask(pc, [name_of(sent)], [proof_of(pc, sent)]) == [name_of(sent)]
    assert service.admin.post(f"/v1/images/{name}/{version}/check").json()["state"] == "sound"
    assert ask(pc, [name_of(read)], [proof_of(pc, read)]) == []
    pc.put(sent)
    twin = service.machine()
    assert ask(twin, [name_of(sent)], [proof_of(twin, sent)]) == []


def test_a_session_sends_no_more_than_its_quota(own_service: Callable[..., Service]) -> None:
    frame = len(make_frame(cell("0")))
    service = own_service(session_quota_bytes=3 * frame)
    pc = service.machine()
    contents = [cell(str(number)) for number in range(4)]
    for content in contents[:3]:
        pc.put(content)
        pc.put(content)  # as a client does that lost the answer
    answer = pc.request(
        "PUT", f"/v1/chunks/{name_of(contents[3])}", content=make_frame(contents[3])
    )
    assert refused(answer) == (507, "session_quota")
    assert "image_server_session_quota_bytes" in answer.json()["remedy"]
    assert not service.chunk_path(contents[3]).exists()
    service.restart(signal.SIGKILL)
    assert refused(pc.request("PUT", f"/v1/chunks/{NOBODYS}", content=b"")) == (
        507,
        "session_quota",
    )
    assert pc.publish(*contents[:3]).status_code == 201
    service.machine().put(contents[3])


def claims_in(folder: Path, store: ChunkStore, memory: Memory, most: int = 1 << 40) -> Claims:
    return Claims(store, memory, Grants(folder / "grants.sqlite3"), most)


def session(**changes: Any) -> Session:
    return Session(
        id="0" * 16,
        machine="pc",
        macs=(),
        verb="backup",
        image="pc",
        version=None,
        created=0.0,
        ttl_seconds=60,
        token_hash="t" * 64,
        **changes,
    )


class WatchedStore(ChunkStore):
    """Counts how often the disk is looked at."""

    looks = 0

    def fingerprint(self, digest: str) -> Fingerprint | None:
        self.looks += 1
        return super().fingerprint(digest)


@pytest.fixture
def parts(tmp_path: Path) -> tuple[WatchedStore, Memory]:
    memory = Memory(tmp_path / "memory.sqlite3")
    marks = SyncMarks(tmp_path / "store/unsynced", "boot")
    store = WatchedStore(tmp_path / "store", 0, marks, memory.is_bad, memory.keep_key)
    return store, memory


def test_for_what_is_not_proven_the_disk_is_not_asked(
    tmp_path: Path, parts: tuple[WatchedStore, Memory]
) -> None:
    """A disk answers sooner for what is not there: that would be an answer, too."""
    store, memory = parts
    claims, item, nothing = claims_in(tmp_path, store, memory), session(), DigestSet([])
    content = cell("there")
    digest, key = digest_and_key(content)
    store.put(digest, make_frame(content))
    store.looks = 0
    for proofs in ([], ["0" * 32, "0" * 32]):
        assert claims.missing(item, nothing, [digest, NOBODYS], proofs) == [digest, NOBODYS]
    assert store.looks == 0
    assert (
        claims.missing(item, nothing, [digest], [make_proof(digest, key, proof_nonce(item))]) == []
    )
    assert store.looks == 1


def test_a_machine_sends_no_more_than_its_disks_hold(
    tmp_path: Path, parts: tuple[WatchedStore, Memory]
) -> None:
    claims = claims_in(tmp_path, *parts)
    item = session(hardware={"disk_bytes": 1})
    claims.refuse_spent(item)
    claims._grants.add(item.id, ["0" * 64], 2 << 30)
    with pytest.raises(ServiceError, match="may send no more"):
        claims.refuse_spent(item)
    for silent in ({}, {"disk_bytes": "none"}, {"disk_bytes": -1}, {"disk_bytes": True}):
        claims.refuse_spent(session(hardware=silent))
    # More than any float holds is no crash: the administrator's limit stands.
    assert quota.allowed(1 << 40, {"disk_bytes": 10**400}) == quota.allowed(1 << 40, {})


def test_tiny_chunks_are_counted_too(tmp_path: Path, parts: tuple[WatchedStore, Memory]) -> None:
    claims = claims_in(tmp_path, *parts, most=CELL)
    item = session()
    claims._grants.add(item.id, (f"{number:064x}" for number in range(150_000)), 1)
    with pytest.raises(ServiceError, match="150000 chunks"):
        claims.refuse_spent(item)


def test_proofs_of_equal_contents_are_equal_whatever_they_come_in() -> None:
    for size in (0, 1, 55, 56, 63, 64, 65, CELL):
        content = bytes(range(256)) * (size // 256 + 1)
        views = [content[:size], bytearray(content[:size]), memoryview(content)[:size]]
        assert len({digest_and_key(view) for view in views}) == 1


def test_the_manifest_is_looked_at_before_the_store(
    tmp_path: Path, parts: tuple[WatchedStore, Memory]
) -> None:
    store, memory = parts
    claims, content = claims_in(tmp_path, store, memory), cell("there, but not yours")
    store.put(name_of(content), make_frame(content))
    store.looks = 0
    with pytest.raises(ServiceError, match="neither sent nor proven"):
        claims.check(session(), DigestSet([]), parse(manifest_of("pc", content)).digests())
    assert store.looks == 0
