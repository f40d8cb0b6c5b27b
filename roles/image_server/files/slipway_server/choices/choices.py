# SPDX-License-Identifier: GPL-3.0-or-later
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
from typing import Any

from slipway.format.names import parse_image_ref

from ..base import tokens
from ..base.errors import ServiceError
from ..base.threads import Run
from ..images.images import Images
from ..jobs.job import Job
from ..jobs.jobs import Jobs
from ..jobs.next_boots import NextBoots
from ..network.addresses import Addresses
from ..network.strangers import Strangers, Wanted
from ..registrations.identities import Identities
from ..registrations.registration import ANOTHER, compare, identity
from ..sessions.session import wrong_address
from ..sessions.sessions import Sessions
from .actions import ACTIONS
from .busy import refuse_busy
from .guesses import Guesses
from .menu_files import MachineMenu, MenuFiles, MenuItem
from .passwords import Passwords

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
    """Made inside the running event loop."""

    def __init__(
        self,
        *,
        menus: MenuFiles,
        images: Images,
        jobs: Jobs,
        next_boots: NextBoots,
        sessions: Sessions,
        identities: Identities,
        addresses: Addresses,
        strangers: Strangers,
        guesses: Guesses,
        run: Run,
    ) -> None:
        """``run`` does blocking work in a thread."""
        self._menus = menus
        self._images = images
        self._jobs = jobs
        self._next_boots = next_boots
        self._sessions = sessions
        self._identities = identities
        self._addresses = addresses
        self._strangers = strangers
        self._run = run
        self._passwords = Passwords(guesses.at_menu)

    async def choose(self, wish: Wish) -> tuple[Job, str]:
        """Make a job of what a machine chose; return it with its token, which is kept nowhere."""
        menu = await self._run(self._menus.find, wish.macs, identity(wish.macs, wish.hardware))
        sharing = await self._run(self._menus.sharing, menu.machine)
        # First of all: whoever asks from elsewhere learns nothing of the menu.
        proven = await self._refuse_wrong_address(menu, wish)
        item = menu.item(wish.item)
        if (mine := self._same_choice(menu, wish)) is not None:
            return await self._jobs.renew(mine)
        refuse_busy(self._jobs, self._sessions, menu.machine, menu.macs, sharing)
        self._refuse_stranger(menu, wish)
        order = self._next_boots.permission(
            wish.once or "", menu.machine, item.id, wish.address, proven
        )
        if item.password is not None and not (order and order.without_password):
            await self._passwords.check(menu.machine, item.password, wish.password, wish.address)
        image = await self._image(menu, item, wish.image or (order.image if order else None))
        if order is not None:
            await self._next_boots.use(order)
        # All that took time: another request may have been quicker. From here on nothing waits
        # before the job is in the books.
        refuse_busy(self._jobs, self._sessions, menu.machine, menu.macs, sharing)
        job, token = await self._jobs.create(
            Job(
                id="",
                machine=menu.machine,
                macs=menu.macs,
                item=item.id,
                verb=item.action,
                title=item.title,
                image=image,
                created=time.time(),
                origin="next_boot" if order else "choice",
                by=order.by if order else "",
                address=wish.address,
                host_key=wish.host_key,
                agent_version=wish.agent_version,
                nonce_hash=tokens.digest_of(wish.nonce),
                **_granted() if ACTIONS[item.action].granted else {},
            )
        )
        if proven and self._identities.of(menu.machine) is None:
            await self._identities.saw(menu.machine, wish.macs, wish.hardware)
        log.info("job %s: %s of %s by %s at %s", job.id, item.id, menu.machine, image, wish.address)
        return job, token

    def _same_choice(self, menu: MachineMenu, wish: Wish) -> Job | None:
        """The job of a machine that asks again because it lost the answer."""
        mine = self._jobs.of_machine(menu.machine)
        if mine is None or not tokens.matches(wish.nonce, mine.nonce_hash):
            return None
        return mine if (mine.host_key, mine.item) == (wish.host_key, wish.item) else None

    async def _refuse_wrong_address(self, menu: MachineMenu, wish: Wish) -> bool:
        """Refuse who is not at the machine's address; return whether it is proven to be there."""
        verdict = await self._addresses.judge(menu.macs, wish.address)
        if not self._addresses.believes(verdict):
            self._strangers.note(Wanted("choice", "", menu.machine), wish.address, verdict)
            raise wrong_address(wish.address, verdict.why)
        return verdict.proven is True

    def _refuse_stranger(self, menu: MachineMenu, wish: Wish) -> None:
        """Refuse a PC that has the machine's MAC address, but is another one than it ever was."""
        known = self._identities.of(menu.machine)
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
        if ACTIONS[item.action].image == "reads" and image is not None:
            wanted = parse_image_ref(image)
            await self._run(self._images.find, wanted.name, wanted.version)
        return image

    async def _described(self, reference: str) -> dict[str, Any]:
        wanted = parse_image_ref(reference)
        versions = await self._run(self._images.versions, wanted.name)
        if not versions and (target := await self._run(self._images.alias, wanted.name)):
            wanted = target
            versions = await self._run(self._images.versions, wanted.name)
        if wanted.version is not None:
            versions = [each for each in versions if each == wanted.version]
        newest = versions[-1] if versions else None
        return {"image": reference, "versions": len(versions), "newest": newest}

    async def forget(self) -> None:
        """Forget mistyped passwords of long ago."""
        self._passwords.forget()

    def close(self) -> None:
        """Let go of every thread."""
        self._passwords.close()


def _granted() -> dict[str, Any]:
    now = time.time()
    return {"state": "ended", "outcome": "done", "started_at": now, "ended_at": now}
