# SPDX-License-Identifier: GPL-3.0-or-later
"""The store behind the image server's API. PROTOCOL.md describes the API."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from slipway.engine.errors import (
    ImageDamaged,
    NotFound,
    SlipwayError,
    StoreFull,
    StoreRefused,
)
from slipway.engine.progress import Meter
from slipway.engine.store import (
    AtHand,
    ChunksLacking,
    ImageInfo,
    Problem,
    Published,
    VersionInfo,
    pick_version,
    read_through,
)
from slipway.format import (
    FormatError,
    ImageRef,
    Manifest,
    check_digest,
    check_name,
    check_version,
    make_proof,
    parse,
    serialize,
)
from slipway.net.answer import Refused
from slipway.net.client import Client, Meaning

_QUERY = 4096
_PUBLISH_TIMEOUT = 600.0
_POLL = 1.0


class HttpStore(AtHand):
    """Chunks and manifests on the image server, within one session."""

    threads = 8
    asked_at_once = 8
    _images = "/v1/images"

    def __init__(self, client: Client, version: str = "") -> None:
        """`version` is the one that the session is about; it stands for "newest"."""
        self._client = client
        self._version = version
        self._lock = threading.Lock()
        self._nonce: str | None = None

    @property
    def waiting(self) -> str:
        """What it waits for, and what helps; empty while requests get through."""
        return self._client.waiting

    def missing(self, digests: Sequence[str], keys: Sequence[bytes] = ()) -> set[str]:
        """Ask the server in bundles, with the proof for each digest whose key is given."""
        result: set[str] = set()
        nonce = self._proof_nonce() if keys else ""
        for start in range(0, len(digests), _QUERY):
            bundle = list(digests[start : start + _QUERY])
            body: dict[str, Any] = {"digests": bundle}
            if nonce:
                pairs = zip(bundle, keys[start : start + _QUERY], strict=True)
                body["proofs"] = [make_proof(digest, key, nonce) for digest, key in pairs]
            result |= self._ask("POST", "/v1/chunks/query", partial(_lacking, bundle), body)
        return result

    def _proof_nonce(self) -> str:
        """What the session's proofs are made with; empty where the server wants none."""
        with self._lock:
            if self._nonce is None:
                self._nonce = self._ask("GET", "/v1/session", _proof_nonce)
            return self._nonce

    def put(self, digest: str, frame: bytes) -> None:
        """Send a chunk."""
        path = f"/v1/chunks/{check_digest(digest)}"
        self._ask("PUT", path, partial(_kept, digest), frame, bulk=True)

    def get(self, digest: str) -> bytes:
        """Fetch a chunk."""
        try:
            return self._fetch(self._chunk(check_digest(digest)))
        except NotFound as error:
            raise ImageDamaged(f"chunk {digest} is missing") from error

    def _chunk(self, digest: str) -> str:
        return f"/v1/chunks/{digest}"

    def publish(self, manifest: Manifest) -> Published:
        """Have the server publish. Syncing many chunks takes a while."""
        path = f"/v1/images/{check_name(manifest.name)}"
        data = serialize(manifest)
        try:
            # A repeated request finds the version that it made.
            version, warning = self._client.ask(
                "POST", path, _published, data, timeout=_PUBLISH_TIMEOUT, bulk=True
            )
        except Refused as no:
            lacking = no.reply.get("missing") if no.status == 409 else None
            if isinstance(lacking, list) and lacking:
                raise ChunksLacking([str(digest) for digest in lacking]) from no
            raise _error(no) from no
        return Published(version, self._stored(manifest.name, version), warning)

    def _stored(self, name: str, version: str) -> int:
        known = (each for image in self.images() if image.name == name for each in image.versions)
        return next((each.stored for each in known if each.version == version), 0)

    def manifest(self, ref: ImageRef) -> Manifest:
        """Fetch a manifest and check that it is the one that was asked for."""
        version = ref.version or self._version
        if not version:
            versions = [
                each.version
                for image in self.images()
                if image.name == ref.name
                for each in image.versions
            ]
            version = pick_version(ref, versions)
        path = f"{self._images}/{check_name(ref.name)}/{check_version(version)}"
        try:
            manifest = self._parsed(path)
        except FormatError as error:
            raise ImageDamaged(f"{ref.name}@{version}: {error}", "use another version") from error
        if (manifest.name, manifest.version) != (ref.name, version):
            raise ImageDamaged(
                f"the server sent {manifest.name}@{manifest.version} for {ref.name}@{version}",
                "check the server's store",
            )
        return manifest

    def _parsed(self, path: str) -> Manifest:
        try:
            return parse(self._fetch(path))
        except FormatError:
            # A chunk proves itself; what came instead of a manifest may be anything, once.
            return parse(self._fetch(path))

    def images(self) -> list[ImageInfo]:
        """The images that this session may see."""
        return self._ask("GET", self._images, _listed)

    def prove(self, manifest: Manifest, meter: Meter) -> list[Problem]:
        """Wait for the server's own read-through; without one, read everything from here."""
        total, before = manifest.chunk_bytes, 0
        while True:
            check = self._ask("GET", "/v1/session", _image_check)
            if check is None:
                return read_through(self, manifest, meter)
            done = int(total * check.share)
            meter.add(done=done - before)
            before = done
            if check.state == "sound":
                return []
            if check.state == "broken":
                unknown = Problem("manifest", "the server found the image broken")
                return check.problems or [unknown]
            time.sleep(_POLL)

    def close(self) -> None:
        """The threads' connections end with the process."""

    def _ask(
        self,
        method: str,
        path: str,
        read: Callable[[dict[str, Any]], Meaning],
        body: bytes | dict[str, Any] | None = None,
        bulk: bool = False,
    ) -> Meaning:
        try:
            return self._client.ask(method, path, read, body, bulk=bulk)
        except Refused as no:
            raise _error(no) from no

    def _fetch(self, path: str) -> bytes:
        answer = self._client.request("GET", path, bulk=True)
        if not answer.ok:
            raise _error(Refused(answer))
        return answer.body


def _lacking(asked: Collection[str], reply: dict[str, Any]) -> set[str]:
    lacking = reply["missing"]
    if not isinstance(lacking, list) or not set(lacking) <= set(asked):
        raise ValueError("it names other chunks than it was asked about")
    return set(lacking)


def _kept(digest: str, reply: dict[str, Any]) -> None:
    if reply["digest"] != digest:
        raise ValueError("it has kept another chunk")


@dataclass(frozen=True)
class _ImageCheck:
    """How the server's own read-through of the version is."""

    state: str
    share: float
    problems: list[Problem]


def _published(reply: dict[str, Any]) -> tuple[str, str]:
    return check_version(reply["version"]), str(reply.get("warning") or "")


def _proof_nonce(reply: dict[str, Any]) -> str:
    return str(reply["proof_nonce"] or "")


def _image_check(reply: dict[str, Any]) -> _ImageCheck | None:
    check = reply["image_check"]
    if check is None:
        return None
    if check["state"] not in ("running", "sound", "broken"):
        raise ValueError(f"{check['state']} is no state of a check")
    return _ImageCheck(
        check["state"],
        min(int(check["bytes_done"]) / max(int(check["bytes_total"]), 1), 1.0),
        [
            Problem(str(each.get("digest") or "manifest"), str(each["problem"]))
            for each in check["problems"]
        ],
    )


def _listed(listing: dict[str, Any]) -> list[ImageInfo]:
    return [
        ImageInfo(
            check_name(image["name"]),
            tuple(
                VersionInfo(
                    check_version(each["version"]),
                    str(each.get("created", "")),
                    int(each.get("bytes", 0)),
                    int(each.get("stored", 0)),
                    str(each.get("problem") or ""),
                    int(each.get("unreadable", 0)),
                    bool(each.get("ahead", False)),
                )
                for each in image["versions"]
            ),
        )
        for image in listing["images"]
    ]


def _error(no: Refused) -> SlipwayError:
    """The error that the server's status and words stand for."""
    remedy = str(no.reply.get("remedy") or "look at the service's log on the image server")
    kinds: dict[int, type[SlipwayError]] = {404: NotFound, 507: StoreFull}
    return kinds.get(no.status, StoreRefused)(str(no.reply["message"]), remedy)
