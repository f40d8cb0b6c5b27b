"""The store behind the image server's API. PROTOCOL.md describes the API."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from slipway.engine.errors import (
    ImageDamaged,
    NotFound,
    SlipwayError,
    StoreFull,
    StoreRefused,
)
from slipway.engine.progress import Meter
from slipway.engine.store import (
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
from slipway.net.client import Answer, Client

_QUERY = 4096
_PUBLISH_TIMEOUT = 600.0
_POLL = 1.0


class HttpStore:
    """Chunks and manifests on the image server, within one session."""

    threads = 8
    asked_at_once = 8

    def __init__(self, client: Client, version: str = "") -> None:
        """`version` is the one that the session is about; it stands for "newest"."""
        self._client = client
        self._version = version
        self._lock = threading.Lock()
        self._nonce: str | None = None

    def missing(self, digests: Sequence[str], keys: Sequence[bytes] = ()) -> set[str]:
        """Ask the server in bundles, with the proof for each digest whose key is given."""
        result: set[str] = set()
        nonce = self._proof_nonce() if keys else ""
        for start in range(0, len(digests), _QUERY):
            bundle = list(digests[start : start + _QUERY])
            body: dict[str, object] = {"digests": bundle}
            if nonce:
                pairs = zip(bundle, keys[start : start + _QUERY], strict=True)
                body["proofs"] = [make_proof(digest, key, nonce) for digest, key in pairs]
            answer = self._ask("POST", "/v1/chunks/query", body)
            result.update(str(digest) for digest in answer.json().get("missing", ()))
        return result

    def _proof_nonce(self) -> str:
        """What the session's proofs are made with; empty where the server wants none."""
        with self._lock:
            if self._nonce is None:
                self._nonce = str(self._ask("GET", "/v1/session").json().get("proof_nonce") or "")
            return self._nonce

    def put(self, digest: str, frame: bytes) -> None:
        """Send a chunk."""
        self._ask("PUT", f"/v1/chunks/{check_digest(digest)}", frame)

    def get(self, digest: str) -> bytes:
        """Fetch a chunk."""
        answer = self._client.request("GET", f"/v1/chunks/{check_digest(digest)}")
        if answer.status == 404:
            raise ImageDamaged(f"chunk {digest} is missing")
        return _checked(answer).body

    def publish(self, manifest: Manifest) -> Published:
        """Have the server publish. Syncing many chunks takes a while."""
        path = f"/v1/images/{check_name(manifest.name)}"
        data = serialize(manifest)
        answer = self._client.request("POST", path, data, timeout=_PUBLISH_TIMEOUT)
        lacking = answer.json().get("missing") if answer.status == 409 else None
        if lacking:
            raise ChunksLacking([str(digest) for digest in lacking])
        reply = _checked(answer).json()
        try:
            version = check_version(reply.get("version"))
        except FormatError as error:
            raise StoreRefused(f"the server published, but answered {error}") from error
        warning = str(reply.get("warning") or "")
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
        answer = self._ask("GET", f"/v1/images/{check_name(ref.name)}/{check_version(version)}")
        try:
            manifest = parse(answer.body)
        except FormatError as error:
            raise ImageDamaged(f"{ref.name}@{version}: {error}", "use another version") from error
        if (manifest.name, manifest.version) != (ref.name, version):
            raise ImageDamaged(
                f"the server sent {manifest.name}@{manifest.version} for {ref.name}@{version}",
                "check the server's store",
            )
        return manifest

    def images(self) -> list[ImageInfo]:
        """The images that this session may see."""
        listing = self._ask("GET", "/v1/images").json()
        try:
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
        except (KeyError, TypeError, ValueError) as error:
            raise StoreRefused(f"the server's list of images can't be read: {error}") from error

    def prove(self, manifest: Manifest, meter: Meter) -> list[Problem]:
        """Wait for the server's own read-through; without one, read everything from here."""
        total, before = manifest.chunk_bytes, 0
        while True:
            check = self._ask("GET", "/v1/session").json().get("image_check")
            if not isinstance(check, dict):
                return read_through(self, manifest, meter)
            share = check.get("bytes_done", 0) / max(check.get("bytes_total", 0), 1)
            done = int(total * min(share, 1.0))
            meter.add(done=done - before)
            before = done
            if check.get("state") == "sound":
                return []
            if check.get("state") == "broken":
                return [
                    Problem(str(each.get("digest") or "manifest"), str(each.get("problem", "")))
                    for each in check.get("problems", ())
                ] or [Problem("manifest", "the server found the image broken")]
            time.sleep(_POLL)

    def close(self) -> None:
        """The threads' connections end with the process."""

    def _ask(self, method: str, path: str, body: bytes | dict[str, object] | None = None) -> Answer:
        return _checked(self._client.request(method, path, body))


def _checked(answer: Answer) -> Answer:
    """The answer, or the error that the server's type and status stand for."""
    if answer.ok:
        return answer
    reply = answer.json()
    message = str(reply.get("message") or f"the server answered {answer.status}")
    remedy = str(reply.get("remedy") or "look at the service's log on the image server")
    kinds: dict[int, type[SlipwayError]] = {404: NotFound, 507: StoreFull}
    raise kinds.get(answer.status, StoreRefused)(message, remedy)
