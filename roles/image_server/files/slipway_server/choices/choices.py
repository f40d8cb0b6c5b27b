"""What a PC's user may start, and what becomes of it.

Here the parts meet: the menu says what a machine may choose, the password whether it is the right
person, the image store whether there is anything to restore, the jobs who comes next. Whoever
answers for a machine's MAC is that machine (the README of the role says what that means), so
nothing outside its own menu is ever granted.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from slipway.format.names import parse_image_ref

from ..base import tokens
from ..base.errors import ServiceError
from ..base.records import RecordDb
from ..base.times import iso
from ..jobs.job import Job
from ..jobs.jobs import Jobs, Limits
from ..jobs.next_boots import NextBoot, NextBoots
from ..network.strangers import Wanted
from ..registrations.registration import ANOTHER, compare, identity
from ..sessions import boot_script
from ..sessions.session import Session, wrong_address
from .menu_files import MachineMenu, MenuItem
from .passwords import Passwords

if TYPE_CHECKING:
    from ..core import Core

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Wish:
    """What a machine in the imaging environment asks for."""

    macs: tuple[str, ...]
    item: str
    nonce: str
    host_key: str
    agent_version: str
    address: str | None
    hardware: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    password: str | None = None
    image: str | None = None
    once: str | None = None


class Choices:
    """Made by the core, inside the running event loop."""

    def __init__(self, core: Core) -> None:
        """Take up the jobs that were open before."""
        self._core = core
        config = core.config
        self._job_db = RecordDb(config.state_dir / "jobs.sqlite3", Job, "jobs", "one_open_job")
        self._boot_db = RecordDb(
            config.state_dir / "next_boots.sqlite3", NextBoot, "next_boots", "one_armed_order"
        )
        self.jobs = Jobs(
            self._job_db,
            Limits(
                silent=config.silent_seconds,
                runner_silent=config.runner_silent_seconds,
                queued=config.job_wait_seconds,
                running=config.job_seconds,
                keep=config.keep_jobs,
            ),
        )
        self.next_boots = NextBoots(self._boot_db)
        self._passwords = Passwords()

    async def choose(self, wish: Wish) -> tuple[Job, str]:
        """Make a job of what a machine chose; return it with its token, which is kept nowhere."""
        menu = await self._core.run(self._core.menus.find, wish.macs)
        # First of all: whoever asks from elsewhere learns nothing of the menu.
        proven = await self._refuse_wrong_address(menu, wish)
        item = menu.item(wish.item)
        if (mine := self._same_choice(menu, wish)) is not None:
            return await self.jobs.renew(mine)
        self._refuse_busy(menu)
        self._refuse_stranger(menu, wish)
        order = self.next_boots.permission(
            wish.once or "", menu.machine, item.id, wish.address, proven
        )
        if item.password is not None and not (order and order.without_password):
            await self._passwords.check(menu.machine, item.password, wish.password, wish.address)
        image = await self._image(menu, item, wish.image or (order.image if order else None))
        if order is not None:
            await self.next_boots.use(order)
        # All that took time: another request may have been quicker. From here on nothing waits
        # before the job is in the books.
        self._refuse_busy(menu)
        job, token = await self.jobs.create(
            Job(
                id="",
                machine=menu.machine,
                macs=menu.macs,
                item=item.id,
                action=item.action,
                title=item.title,
                image=image,
                created=time.time(),
                origin="next_boot" if order else "choice",
                address=wish.address,
                host_key=wish.host_key,
                agent_version=wish.agent_version,
                nonce_hash=tokens.digest_of(wish.nonce),
                # A shell needs no playbook: the permission is all.
                **_granted() if item.action == "rescue_shell" else {},
            )
        )
        if proven and self._core.identities.of(menu.machine) is None:
            await self._core.identities.saw(menu.machine, wish.macs, wish.hardware)
        log.info("job %s: %s of %s by %s at %s", job.id, item.id, menu.machine, image, wish.address)
        return job, token

    def _same_choice(self, menu: MachineMenu, wish: Wish) -> Job | None:
        """The job of a machine that asks again because it lost the answer."""
        mine = self.jobs.of_machine(menu.machine)
        if mine is None or not tokens.matches(wish.nonce, mine.nonce_hash):
            return None
        return mine if (mine.host_key, mine.item) == (wish.host_key, wish.item) else None

    def _refuse_busy(self, menu: MachineMenu) -> None:
        other = self.jobs.of_machine(menu.machine)
        if other is not None:
            raise ServiceError(
                "machine_busy",
                f"{menu.machine} has a job already: {other.item}, {other.state} since "
                f"{iso(other.created)}.",
                job=other.id,
            )
        for session in self._core.sessions.open_sessions():
            if session.machine == menu.machine or set(session.macs) & set(menu.macs):
                raise ServiceError(
                    "machine_busy",
                    f"{menu.machine} is at work already ({session.verb}, {session.state}).",
                    session=session.id,
                )

    async def _refuse_wrong_address(self, menu: MachineMenu, wish: Wish) -> bool:
        """Refuse who is not at the machine's address; return whether it is proven to be there."""
        verdict = await self._core.addresses.judge(menu.macs, wish.address)
        if not self._core.addresses.believes(verdict):
            self._core.strangers.note(Wanted("choice", "", menu.machine), wish.address, verdict)
            raise wrong_address(wish.address, verdict.why)
        return verdict.proven is True

    def _refuse_stranger(self, menu: MachineMenu, wish: Wish) -> None:
        """Refuse a PC that has the machine's MAC address, but is another one than it ever was."""
        known = self._core.identities.of(menu.machine)
        if compare(known, identity(wish.macs, wish.hardware)) == ANOTHER:
            log.warning(
                "choice %s at %s has a card of %s, but is another PC",
                wish.item,
                wish.address,
                menu.machine,
            )
            raise ServiceError(
                "another_machine",
                f"This PC has a card of {menu.machine}, but its firmware is another's.",
            )

    async def _image(self, menu: MachineMenu, item: MenuItem, picked: str | None) -> str | None:
        """The image that the job works on; one to read must be there."""
        if item.images is None:
            image = item.image
        elif picked is None:
            offered = [await self._described(each) for each in item.images]
            found = [each for each in offered if each["versions"]]
            if not found:
                raise ServiceError("unknown_image", "None of this item's images is there any more.")
            raise ServiceError("image_required", "Pick an image.", images=found)
        elif picked in item.images:
            image = picked
        else:
            raise ServiceError("not_offered", f"{item.id} does not offer that image.")
        if item.action == "restore" and image is not None:
            wanted = parse_image_ref(image)
            await self._core.run(self._core.images.resolve, wanted.name, wanted.version)
        return image

    async def _described(self, reference: str) -> dict[str, Any]:
        wanted = parse_image_ref(reference)
        versions = await self._core.run(self._core.images.versions, wanted.name)
        if wanted.version is not None:
            versions = [each for each in versions if each == wanted.version]
        newest = versions[-1] if versions else None
        return {"image": reference, "versions": len(versions), "newest": newest}

    def status(self, job: Job) -> dict[str, Any]:
        """What the machine of a job is told: how it is by now."""
        job = self.jobs.get(job.id)
        session = self._session(job)
        return {
            "id": job.id,
            "machine": job.machine,
            "item": job.item,
            "action": job.action,
            "title": job.title,
            "image": job.image,
            "state": job.state,
            "outcome": job.outcome,
            "message": job.message,
            "remedy": job.remedy,
            "place": self.jobs.place(job.id),
            "runner": self.jobs.runner_is_there,
            "session": session.id if session and session.open else None,
        }

    async def open_session(
        self, job_id: str, machine: str, verb: str, image: str | None, version: str | None, ttl: int
    ) -> Session:
        """The session of a job that is running: for its machine and for what was chosen."""
        job = self.jobs.get(job_id)
        reference = image if version is None else f"{image}@{version}"
        wanted = (machine, verb, reference)
        if job.state != "running" or wanted != (job.machine, job.action, job.image):
            raise ServiceError(
                "wrong_job", f"Job {job.id} ({job.state}) is not for {verb} of {machine}."
            )
        made = await self._core.open_session(
            job.machine, job.macs, job.action, image, version, ttl, job
        )
        await self.jobs.opened_session(job, made.id)
        return made

    async def poll(
        self, runner: str, holds: list[str], free: int, wait: float
    ) -> tuple[list[Job], list[str]]:
        """What the runner shall begin and stop."""
        given, stop, lost = await self.jobs.poll(runner, holds, free, wait)
        for job in lost:
            await self.end(job.id, "failed", "The job runner was restarted.", "Choose it again.")
        return given, stop

    async def end(self, job_id: str, outcome: str, message: str = "", remedy: str = "") -> Job:
        """End a job, and the session with it."""
        job = self.jobs.get(job_id)
        session = self._session(job)
        if outcome == "failed" and session and session.outcome == "abandoned":
            outcome = "abandoned"
            message = f"{job.machine} was switched off or has lost the network. {message}"
        job = await self.jobs.end(job_id, outcome, message, remedy)
        if session is not None and session.open:
            await self._core.sessions.end(session.id, "cancelled")
        log.info("job %s of %s: %s %s", job.id, job.machine, job.outcome, job.message)
        return job

    def _session(self, job: Job) -> Session | None:
        try:
            return self._core.sessions.get(job.session) if job.session else None
        except ServiceError:
            # Sessions are forgotten before jobs.
            return None

    async def boot_script(self, waiting: NextBoot, mac: str, address: str | None) -> str | None:
        """The script of an order for its machine, which boots from that card; it is used up now."""
        order = await self.next_boots.take(waiting, address)
        if order is None:
            return None
        log.info("%s boots into %s, once", order.machine, order.item)
        menu = await self._core.run(self._core.menus.of, order.machine)
        if menu is not None and any(item.id == order.item for item in menu.items):
            config = self._core.config
            return boot_script.render_item(config, order.item, order.id, menu.keymap)
        card = mac.replace(":", "-")
        return boot_script.render_menu_item(self._core.config, order.item, card)

    async def sweep(self, keep_since: float) -> None:
        """End what is overdue; drop what ended long ago, and the oldest of too many."""
        for job, outcome, message, remedy in self.jobs.overdue():
            await self.end(job.id, outcome, message, remedy)
        await self.jobs.forget(keep_since)
        await self.next_boots.forget(keep_since)
        self._passwords.forget()

    def close(self) -> None:
        """Let go of every file and thread."""
        self._passwords.close()
        self._job_db.close()
        self._boot_db.close()


def _granted() -> dict[str, Any]:
    now = time.time()
    return {"state": "ended", "outcome": "done", "started_at": now, "ended_at": now}
