# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the service: made here, handed to each other, started and stopped."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from .base import certificates, garbage
from .base.audit import Audit
from .base.ballast import Ballast
from .base.clock import SteadyClock
from .base.config import Config
from .base.errors import ServiceError
from .base.outbox import Outbox
from .base.records import Records
from .base.rounds import Rounds
from .base.rows import Rows
from .base.state_file import StateFile
from .base.threads import Tasks, Threads
from .choices.choices import Choices
from .choices.guesses import Guesses
from .choices.media_clock import MediaClock
from .choices.menu_files import MenuFiles
from .choices.metrics import Metrics
from .choices.naming import Naming
from .choices.night_desk import NightDesk
from .choices.night_work import NightWork
from .choices.nights import Nights
from .choices.ordering import Ordering
from .choices.orders import Orders
from .choices.runs import Runs
from .choices.telling import GUESSED, Telling
from .images.aliases import Aliases
from .images.browsing import Browsing
from .images.catalog import Catalog
from .images.changes import Changes
from .images.checks import Checker
from .images.collector import Collector
from .images.contents import Contents
from .images.downloads import Downloads
from .images.effects import Effects
from .images.first_look import FirstLook
from .images.history import History
from .images.images import Images
from .images.known import Known
from .images.labels import Labels
from .images.media import MediaFolder
from .images.media_policy import media_file
from .images.memory import Memory
from .images.newest import NewestGood
from .images.ordered_checks import OrderedChecks
from .images.policy import policy_file
from .images.pruner import Pruner
from .images.reader import Reader
from .images.scrubber import Scrubber
from .images.sites import Sites
from .images.store import ChunkStore
from .images.sync_marks import SyncMarks, read_boot_id
from .images.upkeep import PRUNE, Traffic, Upkeep, keep_promises
from .images.upkeep import Records as UpkeepRecords
from .jobs.job import Job
from .jobs.jobs import Jobs, Limits
from .jobs.next_boots import NextBoot, NextBoots
from .jobs.night_book import NightBook
from .jobs.outputs import Outputs
from .jobs.schedule_files import plan_file
from .network.addresses import Addresses
from .network.strangers import Strangers
from .registrations.carried_out import CarriedOut
from .registrations.identities import Identities
from .registrations.registration import Identity
from .registrations.registrations import Registrations
from .sessions.arrivals import Arrivals
from .sessions.session import Session
from .sessions.sessions import Sessions
from .sessions.tftp_files import TftpFiles
from .transfers.claims import Claims
from .transfers.copies import Copies
from .transfers.digest_sets import DigestSets
from .transfers.grants import Grants
from .transfers.openings import Openings
from .transfers.publishing import Publishing
from .transfers.upload_slots import UploadSlots

log = logging.getLogger(__name__)

# A power failure makes suspects of the chunks since the last sync: keep that set small.
_SYNC_SECONDS = 60.0
_FORGET_SECONDS = 3600.0
_DAY = 86400.0


class Service:
    """Made inside the running event loop; `start` and `stop` frame its life."""

    def __init__(self, config: Config) -> None:
        """Open the store and the state; what an earlier process left half-done is removed."""
        self.config = config
        config.state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._ballast = Ballast(config.state_dir)
        self._threads, self._tasks = Threads(config.threads), Tasks()
        self.run = self._threads.run
        self.clock = SteadyClock()
        self._state = StateFile(config.state_dir)
        self._open_images(config)
        self._open_records(config)
        self.menus = MenuFiles(config.menu_dir)
        self.addresses = Addresses(
            self.run, self.menus.address_of, config.lease_file, config.unproven_addresses
        )
        self.strangers = Strangers()
        self._connect(config)
        self.rounds = Rounds(config.sweep_seconds)
        self._plan_rounds(config)

    def _open_images(self, config: Config) -> None:
        self.memory = Memory(config.state_dir / "memory.sqlite3")
        marks = SyncMarks(config.store_dir / "unsynced", read_boot_id())
        self.store = ChunkStore(
            config.store_dir,
            config.store_reserve_bytes,
            marks,
            self.memory.is_bad,
            self.memory.keep_key,
            self.memory.keep_kept,
        )
        self.images = Images(self.store, self.memory)
        self.contents = Contents(self.images, self.store)
        self.media = MediaFolder(config.media_dir)
        self.policy = policy_file(config.policy_dir)
        self.aliases = Aliases(Rows(self._state, "aliases"), self.policy)
        self.images.alias = self.aliases.target
        labels = Labels(Rows(self._state, "labels"))
        self.catalog = Catalog(self.images, self.memory, labels, self.aliases)
        self.first_look = FirstLook(self.images, self.memory, self.run)
        self.newest = NewestGood(self.images, self.catalog, self.first_look.unread)
        self._labels = labels
        self.checker = Checker(
            self.store, self.images, self.memory, config.check_threads, config.check_memory_days
        )

    def _open_records(self, config: Config) -> None:
        state = self._state
        self.audit = Audit(state)
        self._grants = Grants(config.state_dir / "grants.sqlite3")
        self.sessions = Sessions(
            Records(state, Session, "sessions"), show=TftpFiles(config.tftp_dir).show
        )
        self.jobs = Jobs(
            Records(state, Job, "jobs"),
            Limits(
                silent=config.silent_seconds,
                runner_silent=config.runner_silent_seconds,
                queued=config.job_wait_seconds,
                running=config.job_seconds,
                keep=config.keep_jobs,
            ),
        )
        self.outputs = Outputs()
        self.next_boots = NextBoots(Records(state, NextBoot, "next_boots"))
        self.registrations = Registrations(
            Rows(state, "registrations"),
            config.registration_limit,
            config.registration_name,
            config.registrations_per_second,
        )
        self.carried_out = CarriedOut(config.approve_file)
        self.identities = Identities(Rows(state, "identities"))
        self.history = History(Rows(state, "history"))
        self.outbox = Outbox(state)
        self.guesses = Guesses(self.outbox.known(GUESSED) or ())
        reader = Reader(config.reader_socket)
        self.browsing = Browsing(reader)
        self.downloads = Downloads(reader, Rows(state, "upkeep"))

    def _connect(self, config: Config) -> None:
        self.digest_sets = DigestSets(self.images, self.run)
        self.claims = Claims(self.store, self.memory, self._grants, config.session_quota_bytes)
        self.copies = Copies(self.store, self.images, self.store.promises.begins)
        self.sites = Sites(self.policy, self.images)
        self.upload_slots = UploadSlots(config.upload_slots)
        self.publishing = Publishing(
            self.sessions,
            self.images,
            self.claims,
            self.digest_sets,
            self.run,
            config.max_manifest_bytes,
        )
        self.openings = Openings(
            self.sessions,
            self.images,
            self.checker,
            self.store.promises.begins,
            self.run,
            self.menus.sharing,
        )
        self.choices = Choices(
            menus=self.menus,
            images=self.images,
            jobs=self.jobs,
            next_boots=self.next_boots,
            sessions=self.sessions,
            identities=self.identities,
            addresses=self.addresses,
            strangers=self.strangers,
            guesses=self.guesses,
            run=self.run,
        )
        self.ordering = Ordering(self.menus, self.images, self.jobs, self.sessions, self.run)
        plans = plan_file(config.policy_dir)
        media = media_file(config.policy_dir)
        self.naming = Naming(
            self.menus, self.next_boots, self.jobs, self.sessions, plans, media, self.run
        )
        self.media_clock = MediaClock(
            media,
            self.media,
            config.state_dir / "media-orders",
            self.images,
            self.catalog,
            self.identities,
            self.run,
        )
        self._connect_upkeep(config)
        self.runs = Runs(self.jobs, self.sessions, self.openings.open_session)
        work = NightWork(
            self.catalog,
            self.jobs,
            self.sessions,
            self.ordering,
            self.runs,
            self.audit,
            self.run,
        )
        self.nights = Nights(
            plans, NightBook(self._state), work, self.run, closed=self._window_closed
        )
        self._telling = Telling(
            self.outbox,
            self.nights.book,
            plans,
            work.newest,
            self.upkeep.records,
            self.jobs,
            self.sessions,
            self.registrations,
            self.guesses,
            self.upkeep.bad_chunks,
            self.media_clock.problems,
            self.store.room,
            config.store_reserve_bytes,
            config.tell_seconds,
            self.run,
        )
        self.metrics = Metrics(
            self.catalog,
            self.memory,
            self.store,
            self.upkeep.records,
            self.nights.book,
            self.jobs,
            self.sessions,
            self.outbox,
            self.run,
        )
        self.night_desk = NightDesk(plans, self.nights, self.menus, self.images, self.run)
        self.arrivals = Arrivals(
            config,
            self.sessions,
            self.next_boots,
            self.identities,
            self.addresses,
            self.strangers,
            Orders(config, self.next_boots, self.menus, self.run).boot_script,
            self._pin_of,
        )

    def _connect_upkeep(self, config: Config) -> None:
        rows = Rows(self._state, "upkeep")
        known = Known(
            self.images,
            self.catalog,
            self._labels,
            self.aliases,
            self.policy,
            self.naming.named,
            self.run,
        )
        self.changes, self.effects = Changes(known), Effects(known)
        records = UpkeepRecords(rows)
        self.pruner = Pruner(known, self.changes, lambda: records.done_at(PRUNE))
        traffic = Traffic(
            lambda: self.sessions.begins_of_backups() | self.copies.begins(), self.sessions.readers
        )
        self.ordered_checks = OrderedChecks(self.checker, rows, self._tasks.spawn)
        keep_promises(self._state, rows, self.store.promises, traffic.begins().values())
        scrubber = Scrubber(self.store, self.images, self.memory)
        self.checker.on_bad = lambda bad: self._tasks.spawn(self._mark(bad))
        self._scrubber = scrubber
        self.upkeep = Upkeep(
            config,
            records,
            self.policy,
            self.pruner,
            Collector(
                self.store, self.images, self.memory, config.state_dir / "collection.sqlite3"
            ),
            scrubber,
            self.store.promises,
            traffic,
            self.run,
            self._tasks.spawn,
        )

    def _plan_rounds(self, config: Config) -> None:
        kept = config.keep_days * _DAY
        each, hourly = self.rounds.add, _FORGET_SECONDS
        each(lambda: self.sessions.sweep(config.silent_seconds))
        each(self.sessions.flush)
        each(self._let_go)
        each(self.clock.watch)
        each(self.runs.sweep)
        each(lambda: self.jobs.forget(self.clock.now() - kept))
        each(lambda: self.next_boots.forget(self.clock.now() - kept))
        each(self.choices.forget)
        each(self.nights.look)
        each(self.media_clock.look, every=config.media_seconds)
        each(self.media_clock.look_anew)
        each(self._telling.look)
        each(self._take_care, every=hourly)
        each(self._note_room, every=hourly)
        each(self.downloads.sweep, every=hourly)
        each(garbage.search_all, every=hourly)
        each(lambda: self.sessions.forget(self.clock.now() - kept), every=hourly)
        each(lambda: self.registrations.sweep(kept), every=hourly)
        each(self._look_after, every=min(hourly, config.upkeep_seconds or hourly))
        each(self._sync, every=_SYNC_SECONDS, when=lambda: self.store.dirty)

    async def start(self) -> None:
        """Take up what was under way before, and begin to watch the clock."""
        await self.publishing.take_up()
        self.openings.take_up()
        await self._take_care()
        await self._note_room()
        garbage.leave_out()
        await self.first_look.begin(self._tasks.spawn)
        self._tasks.spawn(self.downloads.take_up())
        self._tasks.spawn(self.rounds.keep_going())

    def release_waiters(self) -> None:
        """Answer everybody who waits, for the service stops."""
        self.sessions.release_waiters()
        self.jobs.release_waiters()

    async def stop(self) -> None:
        """Save everything and let go of every file and thread."""
        self.upkeep.stop()
        await self._tasks.stop()
        await self.browsing.stop()
        await self.downloads.stop()
        await self.openings.stop()
        await self.checker.stop()
        await self.sessions.flush()
        self.choices.close()
        try:
            # After a clean stop a reboot leaves no suspects.
            if self.store.dirty:
                await self._sync()
        except ServiceError as error:
            log.error("%s", error.message)
        self._threads.stop()
        for each in (self._state, self._grants, self.memory, self.store):
            each.close()

    async def _look_after(self) -> None:
        """In the background: collecting and reading take hours, and rounds go on."""
        self._tasks.spawn(self.upkeep.look_after())

    def _window_closed(self) -> None:
        self._tasks.spawn(self.upkeep.after_window())

    async def _mark(self, bad: set[str]) -> None:
        await self.run(self._scrubber.mark, bad)

    async def _note_room(self) -> None:
        today = datetime.now().astimezone().date()
        await self.history.note_room(today, await self.run(self.store.room))

    async def _pin_of(self, machine: str) -> Identity | None:
        return await self.run(self.menus.pin, machine)

    async def _sync(self) -> None:
        await self.run(self.store.sync)

    async def _take_care(self) -> None:
        self._ballast.take()
        for text in certificates.warnings(self.config, datetime.now(UTC)):
            log.warning("%s", text)

    async def _let_go(self) -> None:
        """Drop what was only held for sessions that have ended since."""
        still = {item.id for item in self.sessions.open_sessions()}
        self.digest_sets.keep(still)
        if ended := self._grants.sessions() - still:
            await self.run(self._grants.drop, ended)
