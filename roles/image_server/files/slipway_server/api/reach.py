# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups: somebody who has some sees and acts on their machines, as if there were no others.

What is not his is answered as what is not there. He sees the images that have the names of his
machines, and those that their menus name; he changes the former alone. What is about the whole
server is refused, or told without names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from slipway.format.names import parse_image_ref

from ..base.errors import ServiceError
from ..base.names import GROUP_PATTERN
from ..choices.menu_files import MachineMenu
from ..service import Service

# The header's: names of groups, or a star for who has no such bounds.
GROUPS_PATTERN = rf"^(\*|{GROUP_PATTERN}(,{GROUP_PATTERN}){{0,99}})$"
_STATE = "reach"
# What keeps a version, in words, and whose it is.
_NAMED_BY = re.compile(
    r"(?:menu|boot_once|job \S+|session) of ([a-z0-9-]+)|(?:schedule|media) (\S+)"
)
_ELSEWHERE = "named by what is not yours"


@dataclass(frozen=True)
class Reach:
    """How far somebody reaches. ``machines`` None: everywhere."""

    machines: frozenset[str] | None = None
    # Names of images and aliases that he sees.
    images: frozenset[str] = frozenset()

    @property
    def whole(self) -> bool:
        """Whether all is his."""
        return self.machines is None

    def has(self, machine: str) -> bool:
        """Whether a machine is his; so is what the image of its name holds."""
        return self.machines is None or machine in self.machines

    def sees(self, image: str) -> bool:
        """Whether he sees an image."""
        return self.machines is None or image in self.images

    def must_have(self, machine: str) -> None:
        """Refuse a machine that is not his, as one that is not there."""
        if not self.has(machine):
            raise ServiceError("unknown_machine", f"This server has no menu of {machine}.")

    def must_see(self, image: str, *, own: bool = False) -> None:
        """Refuse an image that he does not see, or if ``own`` one that he must not change."""
        if not self.sees(image):
            raise ServiceError("unknown_image", "There is no such image.")
        if own and not self.has(image):
            raise _not_yours(f"To change {image}, which has the name of none of your machines,")

    def reasons(self, said: Iterable[str]) -> list[str]:
        """Why a version is kept, without the names of what is not his."""
        return list(dict.fromkeys(each if self._may_read(each) else _ELSEWHERE for each in said))

    def _may_read(self, reason: str) -> bool:
        found = _NAMED_BY.match(reason)
        return found is None or (found[1] is not None and self.has(found[1]))

    def plain(self, error: ServiceError) -> ServiceError:
        """A refusal without what it says of others'."""
        if self.whole or error.error not in _TELLING:
            return error
        return ServiceError(error.error, _TELLING[error.error])


# Refusals that name what there is elsewhere.
_TELLING = {
    "unknown_image": "There is no such image.",
    "unknown_schedule": "There is no such schedule.",
    "image_named": "It stays as it is, for something names it.",
    "is_alias": "That name is an alias of an image.",
    "machine_busy": "The machine, or one that shares a card with it, has something to do.",
    "policy_broken": "The policy can't be used: ask who looks after the server.",
}


async def measure(request: Request, service: Service, groups: str) -> None:
    """Note how far who asks reaches: by the guard of each route, before all that looks at it."""
    reach = (
        Reach() if groups == "*" else await service.run(_of, service, frozenset(groups.split(",")))
    )
    setattr(request.state, _STATE, reach)


def _of(service: Service, groups: frozenset[str]) -> Reach:
    menus = [menu for menu in service.menus.all() if not groups.isdisjoint(menu.groups)]
    machines = frozenset(menu.machine for menu in menus)
    images = machines | {name for menu in menus for name in _named(menu)}
    aliases = service.aliases.under(service.policy.usable())
    targets = {aliases[name].target.name for name in images & aliases.keys()}
    return Reach(machines, images | targets)


def _named(menu: MachineMenu) -> Iterable[str]:
    return (
        parse_image_ref(reference).name
        for item in menu.items
        for reference in (item.images or [item.image])
        if reference is not None
    )


async def _reach(request: Request) -> Reach:
    # Whom no guard has measured, since his request is none, reaches nothing.
    found: Reach = getattr(request.state, _STATE, Reach(frozenset()))
    return found


ReachDep = Annotated[Reach, Depends(_reach)]


# --- what becomes of a route

_Asked = dict[str, Any]


@dataclass(frozen=True)
class Within:
    """What becomes of a route for who has groups.

    ``look`` refuses what is not his, of what is asked for by name; ``cut`` takes from an answer
    what is not his.
    """

    what: str
    look: Callable[[Reach, Service, _Asked], Awaitable[None]] | None = None
    cut: Callable[[Reach, Any], Any] | None = None
    # Types that the route itself may not have.
    refusals: tuple[str, ...] = ()

    async def answer(
        self,
        endpoint: Callable[..., Awaitable[Any]],
        reach: Reach,
        service: Service,
        asked: _Asked,
    ) -> Any:
        """What the endpoint answers, of what is his."""
        if reach.whole:
            return await endpoint(**asked)
        try:
            if self.look is not None:
                await self.look(reach, service, asked)
            found = await endpoint(**asked)
        except ServiceError as error:
            raise reach.plain(error) from error
        return found if self.cut is None else self.cut(reach, found)


def _not_yours(what: str) -> ServiceError:
    return ServiceError("wrong_group", f"{what} is for who looks after all machines.")


async def _refuse(_: Reach, __: Service, ___: _Asked) -> None:
    raise _not_yours("This")


async def _machine(reach: Reach, _: Service, asked: _Asked) -> None:
    reach.must_have(asked["machine"])


async def _job(reach: Reach, service: Service, asked: _Asked) -> None:
    if not reach.has(service.jobs.get(asked["job_id"]).machine):
        raise ServiceError("no_such_job", "There is no such job.")


async def _session(reach: Reach, service: Service, asked: _Asked) -> None:
    if not reach.has(service.sessions.get(asked["session_id"]).machine):
        raise ServiceError("no_such_session", "There is no such session.")


async def _seen_image(reach: Reach, _: Service, asked: _Asked) -> None:
    reach.must_see(asked["name"])


async def _own_image(reach: Reach, _: Service, asked: _Asked) -> None:
    reach.must_see(asked["name"], own=True)
    to = getattr(asked.get("wanted"), "to", None)
    if to is not None and not reach.has(to):
        raise _not_yours(f"An image of the name {to}, which none of your machines has,")


async def _download(reach: Reach, service: Service, asked: _Asked) -> None:
    if not reach.sees(service.downloads.get(asked["key"]).image):
        raise ServiceError("no_such_download", "There is no such download.")


async def _trashed(reach: Reach, _: Service, asked: _Asked) -> None:
    if not reach.has(asked["wanted"].name):
        raise ServiceError("not_in_trash", f"There is no {asked['wanted'].name} in the trash.")


async def _seen_schedule(reach: Reach, service: Service, asked: _Asked) -> None:
    if not any(map(reach.has, await service.night_desk.machines(asked["name"]))):
        raise ServiceError("unknown_schedule", "There is no such schedule.")


async def _own_schedule(reach: Reach, service: Service, asked: _Asked) -> None:
    await _seen_schedule(reach, service, asked)
    if not all(map(reach.has, await service.night_desk.machines(asked["name"]))):
        raise _not_yours("A schedule of other machines, too,")


def _list_of(key: str, of: str = "machine") -> Callable[[Reach, Any], Any]:
    def cut(reach: Reach, found: Any) -> Any:
        return found | {
            each: [item for item in found[each] if reach.has(item[of])]
            for each in (key, "strangers")
            if each in found
        }

    return cut


def _images(reach: Reach, answer: Response) -> Response:
    found = json.loads(bytes(answer.body))
    images = [_image(reach, each) for each in found["images"] if reach.sees(each["name"])]
    aliases = [each for each in found["aliases"] if reach.sees(each["alias"])]
    text = json.dumps(found | {"images": images, "aliases": aliases})
    return Response(text, media_type="application/json")


def _image(reach: Reach, image: dict[str, Any]) -> dict[str, Any]:
    versions = [
        each | {"kept_because": reach.reasons(each["kept_because"])} for each in image["versions"]
    ]
    return image | {"versions": versions, "yours": reach.has(image["name"])}


def _contents(reach: Reach, found: Any) -> Any:
    named = [each | {"by": reach.reasons([each["by"]])[0]} for each in found["named"]]
    return found | {"named": [each for at, each in enumerate(named) if each not in named[:at]]}


def _downloads(reach: Reach, found: Any) -> Any:
    return {"downloads": [each for each in found["downloads"] if reach.sees(each["image"])]}


def _schedules(reach: Reach, found: Any) -> Any:
    return {
        "schedules": [
            _schedule(reach, each)
            for each in found["schedules"]
            if any(map(reach.has, each["machines"]))
        ]
    }


def _schedule(reach: Reach, found: dict[str, Any]) -> dict[str, Any]:
    cut = found | {"machines": [each for each in found["machines"] if reach.has(each)]}
    cut["yours"] = cut["machines"] == found["machines"]
    # The pattern may name other machines.
    cut["pattern"] = found["pattern"] if cut["yours"] else ",".join(cut["machines"])
    if "nights" in found:
        cut["nights"] = [
            night | {"machines": [one for one in night["machines"] if reach.has(one["machine"])]}
            for night in found["nights"]
        ]
    return cut


def _empty(*keys: str) -> Callable[[Reach, Any], Any]:
    return lambda _, found: found | {key: [] for key in keys}


EVERYBODY = Within("tells of no machine")
# The route asks for `ReachDep` itself.
ITSELF = Within("looks itself")
WHOLE = Within("is refused", _refuse)
MACHINE = Within("a machine of his", _machine, refusals=("unknown_machine",))
JOBS = Within("his part", cut=_list_of("jobs"))
JOB = Within("a job of his machines", _job)
SESSIONS = Within("his part", cut=_list_of("sessions"))
SESSION = Within("a session of his machines", _session)
IMAGES = Within("his part", cut=_images)
IMAGE = Within("an image that he sees", _seen_image, _image)
SEEN_IMAGE = Within("an image that he sees", _seen_image)
OWN_IMAGE = Within("an image of the name of a machine of his", _own_image)
CONTENTS = Within("an image that he sees", _seen_image, _contents)
DOWNLOADS = Within("his part", cut=_downloads)
DOWNLOAD = Within("a download of an image that he sees", _download)
TRASH = Within("his part", cut=_list_of("trash", "name"))
TRASHED = Within("an image of the name of a machine of his", _trashed)
SCHEDULES = Within("his part", cut=_schedules)
SCHEDULE = Within("a schedule of a machine of his", _seen_schedule, _schedule)
OWN_SCHEDULE = Within("a schedule of his machines alone", _own_schedule, _schedule)
# PCs that are no machines yet are in no group.
REGISTRATIONS = Within("his part", cut=_empty("registrations"))
UPKEEP = Within("his part", cut=_empty("waits_for"))
STATUS = Within("his part", cut=_empty("warnings"))
