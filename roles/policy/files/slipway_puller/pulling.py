# SPDX-License-Identifier: GPL-3.0-or-later
"""What is due is pulled: the newest version of each image first, and none twice.

Nothing is deleted here. A version that rules or people removed since it came does not come again.
A run that was cut goes on with the next, for what has come is no longer missing.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from slipway.engine.copy import copy
from slipway.engine.errors import ImageDamaged, NotFound, SlipwayError, StoreRefused
from slipway.engine.folder_store import FolderStore
from slipway.engine.progress import Meter
from slipway.engine.store import ImageInfo, Store
from slipway.format import ImageRef
from slipway.net.client import Client
from slipway.net.site_store import SiteStore

from .server import OwnServer
from .settings import Source

log = logging.getLogger(__name__)

_HOUR = 3600.0
_MOST_TEXT = 300
_MOST_TOLD = 3


@dataclass(frozen=True)
class Coming:
    """A version of another site, and the bytes of its chunks there: at most so many are sent."""

    ref: ImageRef
    stored: int

    @property
    def name(self) -> str:
        """NAME@VERSION."""
        return str(self.ref)


@dataclass(frozen=True)
class Outcome:
    """What came of a site, or would; and why not everything did."""

    versions: Sequence[Coming] = ()
    problem: str | None = None


class Book:
    """What came of each site, and when it was last looked through: one file, written anew."""

    def __init__(self, path: Path) -> None:
        """Read it; one that can't be read is none, and what is here need not come all the same."""
        self._path = path
        try:
            said = json.loads(path.read_bytes())
            self._sites: dict[str, dict[str, Any]] = {
                str(name): {"at": float(each["at"]), "came": [str(ref) for ref in each["came"]],
                            "problem": each["problem"]}
                for name, each in said.items()
            }  # fmt: skip
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            self._sites = {}

    def is_due(self, source: Source, now: float) -> bool:
        """Whether a site is to be looked through; one that failed is, each time."""
        known = self._sites.get(source.name)
        if known is None or known["problem"] is not None:
            return True
        # One of a time to come was noted by a clock that was wrong.
        return not 0 <= now - known["at"] < source.every_hours * _HOUR

    def came(self, site: str) -> set[str]:
        """What has come before."""
        return set(self._sites.get(site, {}).get("came", ()))

    def problem(self, site: str) -> str | None:
        """Why it did not go well."""
        found: str | None = self._sites.get(site, {}).get("problem")
        return found

    def keep(self, site: str, came: Iterable[str], problem: str | None, now: float) -> None:
        """How it stands with a site."""
        self._sites[site] = {"at": now, "came": sorted(came), "problem": problem}
        self._write()

    def forget_others(self, sites: Iterable[str]) -> None:
        """Keep these alone."""
        wanted = set(sites)
        self._sites = {name: each for name, each in self._sites.items() if name in wanted}
        self._write()

    def _write(self) -> None:
        """On a full disk it goes on without: what came is asked for again, and found to be here."""
        new = self._path.with_suffix(".new")
        try:
            new.write_text(json.dumps(self._sites))
            new.replace(self._path)
        except OSError as error:
            log.warning("what came is not noted: %s", error)


def pull_all(
    sources: Sequence[Source], server: OwnServer, book: Book, wanted: Callable[[Source], bool]
) -> dict[str, Outcome]:
    """Pull from those that are ``wanted``; how it stands with each of all."""
    outcomes = {}
    book.forget_others(each.name for each in sources)
    for source in sources:
        if wanted(source):
            outcomes[source.name] = _pull(source, server, book)
        else:
            outcomes[source.name] = Outcome(problem=book.problem(source.name))
    notes = {
        name: {"problem": each.problem, "copied": len(each.versions)}
        for name, each in outcomes.items()
    }
    server.note(notes)
    return outcomes


def look(source: Source, server: OwnServer, book: Book) -> Outcome:
    """What would come of a site. Nothing is changed, here or there."""
    try:
        with closing(_open(source)) as store:
            came = book.came(source.name)
            coming = wanted_of(source, store.images())
            lacking = [
                each
                for each in coming
                if each.name not in came and each.ref.version not in server.taken(each.ref.name)
            ]
    except SlipwayError as error:
        return Outcome(problem=_words(error))
    return Outcome(lacking)


def _pull(source: Source, server: OwnServer, book: Book) -> Outcome:
    came = book.came(source.name)
    copied: list[Coming] = []
    problems: list[str] = []
    try:
        with closing(_open(source)) as store:
            wanted = wanted_of(source, store.images())
            # What is gone there is never asked for again.
            came &= {each.name for each in wanted}
            for each in wanted:
                if each.name in came:
                    continue
                if each.ref.version not in server.taken(each.ref.name):
                    try:
                        _copy(store, server, each.ref)
                    except (NotFound, ImageDamaged, StoreRefused) as error:
                        if _is_gone(store, each.ref):
                            log.info("%s went before it was copied", each.name)
                        else:
                            # The others may be all right.
                            problems.append(_words(error, each.name))
                        continue
                    copied.append(each)
                came.add(each.name)
                book.keep(source.name, came, None, 0.0)
    except SlipwayError as error:
        # The site, or this server, is away or full: the next run goes on.
        problems.append(_words(error))
    more = len(problems) - _MOST_TOLD
    told = problems[:_MOST_TOLD] + ([f"and {more} more versions"] if more > 0 else [])
    problem = "; ".join(told) or None
    for said in problems:
        log.warning("%s: %s", source.name, said)
    book.keep(source.name, came, problem, time.time())
    return Outcome(copied, problem)


def _copy(store: Store, server: OwnServer, ref: ImageRef) -> None:
    began = time.monotonic()
    result = copy(store, server, ref, Meter(), store.threads)
    seconds = time.monotonic() - began
    log.info("%s came: %d chunks, %d bytes, %.0f s", ref, result.cells.sent, result.sent, seconds)


def _is_gone(store: Store, ref: ImageRef) -> bool:
    """Whether a version was deleted, or renamed, since the site named it.

    SlipwayError: the site itself is gone, as a disk that was pulled out.
    """
    there = (each for image in store.images() if image.name == ref.name for each in image.versions)
    return all(each.version != ref.version for each in there)


def wanted_of(source: Source, images: Iterable[ImageInfo]) -> list[Coming]:
    """What is to be here: of each image the newest version first, then of each the one before."""
    rows = [
        [
            Coming(ImageRef(image.name, each.version), each.stored)
            for each in reversed(image.versions)
            if not each.damage
        ]
        for image in images
        if source.wants(image.name)
    ]
    return [each for column in zip_longest(*rows) for each in column if each is not None]


def _open(source: Source) -> Store:
    if source.is_folder:
        return FolderStore(Path(source.place))
    return SiteStore(Client(source.place, Path(source.ca), source.token))


def _words(error: SlipwayError, subject: str = "") -> str:
    remedy = f": {error.remedy}" if error.remedy else ""
    about = f"{subject}: " if subject and subject not in error.message else ""
    return f"{about}{error.message}{remedy}"[:_MOST_TEXT]
