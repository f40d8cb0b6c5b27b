# SPDX-License-Identifier: GPL-3.0-or-later
"""The store of another site, as it lends it to this one: to be read, with a token that lasts."""

from __future__ import annotations

from slipway.format import ImageRef, Manifest
from slipway.net.client import Client
from slipway.net.http_store import HttpStore


class SiteStore(HttpStore):
    """One version at a time: chunks are those of the manifest that was asked for last."""

    # What is under way when the process is killed is sent twice: no more than one chunk.
    threads = 1
    _images = "/v1/site/images"

    def __init__(self, client: Client) -> None:
        """Nothing is asked yet."""
        super().__init__(client)
        self._of = ""

    def manifest(self, ref: ImageRef) -> Manifest:
        """Fetch a manifest; what is fetched from now on is of its version."""
        found = super().manifest(ref)
        self._of = f"{self._images}/{found.name}/{found.version}"
        return found

    def _chunk(self, digest: str) -> str:
        return f"{self._of}/chunks/{digest}"
