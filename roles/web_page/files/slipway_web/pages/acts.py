# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions on one thing: a page that says what would happen, then that, then what is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Response

from ..asking import Ask, go
from ..config import Role
from ..plans import digest_of, same
from ..service import path
from . import subjects
from .subjects import Facts


@dataclass(frozen=True)
class Act:
    """What can be done. ``look`` tells what it is done to; ``do`` does it and says where to go."""

    name: str
    role: Role
    title: str
    # What becomes of what.
    effect: str
    # What of the URL and the form says what it is done to.
    about: tuple[str, ...]
    look: Callable[[Ask], Awaitable[Facts]]
    do: Callable[[Ask], Awaitable[str]]
    # What the text is called that may be said with it; empty: there is none.
    text: str = ""
    # Whether the name has to be typed.
    typed: bool = False
    # Whether it is about all machines: then it is not for who has groups.
    whole: bool = False


def confirm_of(act: Act) -> Callable[[Ask], Awaitable[Response]]:
    """The page that asks."""

    async def confirm(ask: Ask) -> Response:
        return await _show(ask, act)

    return confirm


def do_of(act: Act) -> Callable[[Ask], Awaitable[Response]]:
    """What the page's button does."""

    async def do(ask: Ask) -> Response:
        facts = await act.look(ask)
        if not same(digest_of(act.name, _about(ask, act), facts), ask.fields.one("plan")):
            problem = "It is not any more what you have seen. Nothing was changed now."
            return await _show(ask, act, 409, problem)
        if act.typed and ask.fields.one("typed") != _name(ask, act):
            return await _show(ask, act, 400, "The name was not typed. Nothing was changed.")
        return go(await act.do(ask))

    return do


async def _show(ask: Ask, act: Act, status: int = 200, problem: str = "") -> Response:
    facts = await act.look(ask)
    return ask.show(
        "act.html",
        status,
        act=act,
        about=_about(ask, act),
        facts=facts,
        name=_name(ask, act),
        plan=digest_of(act.name, _about(ask, act), facts),
        problem=problem,
    )


def _about(ask: Ask, act: Act) -> dict[str, str]:
    # As it was said: a file's name may end with a space.
    return {key: ask.fields.raw(key) for key in act.about}


def _name(ask: Ask, act: Act) -> str:
    return "@".join(filter(None, _about(ask, act).values()))


def _label(**said: Any) -> Callable[[Ask], Awaitable[str]]:
    async def do(ask: Ask) -> str:
        image, version = ask.fields.one("image"), ask.fields.one("version")
        text = ask.fields.one("text")
        told = {"reason": text} if "hold" in said else {"note": text}
        await ask.act("POST", path("images", image, "label"), {"version": version} | said | told)
        return f"/images/{image}/{version}"

    return do


async def _delete(ask: Ask) -> str:
    image, version = ask.fields.one("image"), ask.fields.one("version")
    await ask.act("DELETE", path("images", image, version), reason=ask.fields.one("text"))
    return f"/store?q={image}"


async def _undelete(ask: Ask) -> str:
    image, version = ask.fields.one("image"), ask.fields.one("version")
    await ask.act("POST", path("trash", "undelete"), {"name": image, "version": version})
    return f"/images/{image}/{version}"


async def _cancel(ask: Ask) -> str:
    job = ask.fields.one("job")
    await ask.act("DELETE", path("jobs", job))
    return f"/jobs/{job}"


async def _end_session(ask: Ask) -> str:
    ended = await ask.act("DELETE", path("sessions", ask.fields.one("session")))
    return f"/machines/{ended['machine']}"


async def _refuse(ask: Ask) -> str:
    said = {"reason": ask.fields.one("text")}
    await ask.act("POST", path("registrations", ask.fields.one("id"), "refuse"), said)
    return "/registrations"


async def _approve(ask: Ask) -> str:
    key, facts = ask.fields.one("id"), await subjects.registration(ask)
    said = {"machine": ask.fields.one("text") or facts["Name"]}
    await ask.act("POST", path("registrations", key, "wish"), said)
    return "/registrations"


async def _copy(ask: Ask) -> str:
    image, to = ask.fields.one("image"), ask.fields.one("text")
    said = {"version": ask.fields.one("version"), "to": to}
    await ask.act("POST", path("images", image, "copy"), said)
    return f"/images/{to}"


async def _rename(ask: Ask) -> str:
    image, to = ask.fields.one("image"), ask.fields.one("text")
    await ask.act("POST", path("images", image, "rename"), {"to": to})
    return f"/images/{to}"


async def _point(ask: Ask) -> str:
    image, version = ask.fields.one("image"), ask.fields.one("version")
    await ask.act("POST", path("aliases", ask.fields.one("text")), {"image": f"{image}@{version}"})
    return f"/images/{image}/{version}"


async def _drop_alias(ask: Ask) -> str:
    await ask.act("DELETE", path("aliases", ask.fields.one("alias")))
    return "/images"


async def _boot(ask: Ask) -> str:
    machine, said = ask.fields.one("machine"), {"item": ask.fields.one("item")}
    await ask.act("POST", path("next-boots", machine), said)
    return f"/machines/{machine}"


async def _unboot(ask: Ask) -> str:
    machine = ask.fields.one("machine")
    await ask.act("DELETE", path("next-boots", machine))
    return f"/machines/{machine}"


async def _check(ask: Ask) -> str:
    image, version = ask.fields.one("image"), ask.fields.one("version")
    await ask.act("POST", path("images", image, version, "check"))
    return f"/images/{image}/{version}"


async def _collect(ask: Ask) -> str:
    await ask.act("POST", path("collect"))
    return "/store"


async def _fetch(ask: Ask) -> str:
    said = {"kind": "file", "partition": ask.fields.one("partition")}
    return await _take_out(ask, said | {"path": ask.fields.raw("path")})


async def _export(ask: Ask) -> str:
    said = {key: ask.fields.one(key) for key in ("disk", "format")}
    degraded = {"allow_degraded": ask.fields.one("degraded") == "yes"}
    return await _take_out(ask, {"kind": "disk"} | said | degraded)


async def _take_out(ask: Ask, said: dict[str, Any]) -> str:
    image, version = ask.fields.one("image"), ask.fields.one("version")
    made = await ask.act("POST", path("images", image, version, "downloads"), said)
    return f"/downloads/{made['id']}"


async def _remove_download(ask: Ask) -> str:
    await ask.act("DELETE", path("downloads", ask.fields.one("download")))
    return "/downloads"


def _of_schedule(verb: str) -> Callable[[Ask], Awaitable[str]]:
    async def do(ask: Ask) -> str:
        name, until = ask.fields.one("schedule"), ask.fields.one("text")
        said = {"until": until or None} if verb == "pause" else None
        await ask.act("POST", path("schedules", name, verb), said)
        return f"/schedules/{name}"

    return do


async def _prune(ask: Ask) -> str:
    plan = await ask.get(path("prune"))
    # The service looks once more whether it is this one.
    await ask.act("POST", path("prune"), {"confirm": plan["digest"]})
    return "/store"


_OF_A_VERSION = ("image", "version")
ACTS: dict[str, Act] = {
    each.name: each
    for each in (
        Act("note", "operator", "Note something of a version", "Its note becomes this text.",
            _OF_A_VERSION, subjects.own_version, _label(), "Note"),
        Act("hold", "operator", "Hold a version", "No rule and no run removes it while it is held.",
            _OF_A_VERSION, subjects.own_version, _label(hold=True), "Reason"),
        Act("release", "operator", "Let a version go",
            "The rules of the policy decide again how long it is kept.",
            _OF_A_VERSION, subjects.own_version, _label(hold=False), "Reason"),
        Act("delete", "admin", "Delete a version",
            "It goes to the trash, from where it can be taken back for some days.",
            _OF_A_VERSION, subjects.own_version, _delete, "Reason", typed=True),
        Act("undelete", "admin", "Take a version back", "It leaves the trash.",
            _OF_A_VERSION, subjects.trashed, _undelete),
        Act("copy", "admin", "Copy a version", "An image of another name gets this version, too.",
            _OF_A_VERSION, subjects.own_version, _copy, "Name of the other image"),
        Act("rename", "admin", "Rename an image",
            "All its versions get the new name; under the old one they lie in the trash.",
            ("image",), subjects.image, _rename, "New name", typed=True),
        Act("point", "admin", "Point an alias",
            "The alias stands for this version wherever an image is named to be read.",
            _OF_A_VERSION, subjects.version, _point, "Alias", whole=True),
        Act("drop-alias", "admin", "Remove an alias", "The image that it stands for stays.",
            ("alias",), subjects.alias, _drop_alias, whole=True),
        Act("prune", "admin", "Prune", "These versions go to the trash, from where they can be "
            "taken back for some days.", (), subjects.prune_plan, _prune, whole=True),
        Act("cancel", "operator", "Cancel a job",
            "Its playbook is stopped and its session ended. A restore that is cut off leaves a "
            "disk that does not boot until it is restored again.",
            ("job",), subjects.job, _cancel),
        Act("end-session", "operator", "End a session",
            "Its token dies at once; what the PC does at that moment ends unfinished.",
            ("session",), subjects.session, _end_session),
        Act("check", "operator", "Check a version",
            "Each of its chunks is read now, in the background. Its page shows how that goes and "
            "what it found.",
            _OF_A_VERSION, subjects.version, _check),
        Act("fetch", "operator", "Fetch a file",
            "It is read out of the image. Its page shows when it is ready to be saved.",
            (*_OF_A_VERSION, "partition", "path"), subjects.file, _fetch),
        Act("export", "operator", "Export a disk",
            "The disk is made to one file that other programs know. Its page shows how that goes, "
            "and when it is ready to be saved.",
            (*_OF_A_VERSION, "disk", "format", "degraded"), subjects.disk, _export),
        Act("remove-download", "operator", "Remove a download",
            "It is removed from the server; one that is being made ends.",
            ("download",), subjects.download, _remove_download),
        Act("collect", "admin", "Collect",
            "What no version names and nobody was promised lately is freed, in the background. The "
            "store's page shows how that goes.",
            (), subjects.upkeep, _collect, whole=True),
        Act("boot", "operator", "Boot into an item once",
            "The next boot of the PC leads there, and the one after that to its menu again.",
            ("machine", "item"), subjects.item, _boot),
        Act("unboot", "operator", "Take a boot back", "The next boot of the PC leads to its menu.",
            ("machine",), subjects.machine, _unboot),
        Act("run", "operator", "Run a schedule now",
            "A window opens at once, as long as its others. Who is due is woken in turn.",
            ("schedule",), subjects.schedule, _of_schedule("run")),
        Act("pause", "operator", "Pause a schedule",
            "Nothing is ordered until then; what is at work goes on.",
            ("schedule",), subjects.schedule, _of_schedule("pause"),
            "Until, such as 2026-12-24 (empty: go on now)"),
        Act("skip", "operator", "Leave a window out",
            "Nothing more is ordered in the window that is open, or nothing in the next.",
            ("schedule",), subjects.schedule, _of_schedule("skip")),
        Act("approve", "admin", "Approve a registration",
            "It is noted. register.yml -e approve=decided writes the inventory and tells the PC: "
            "on the controller, or by itself where web_page_approve_locally says so.",
            ("id",), subjects.registration, _approve,
            "Name of the machine (empty: the one above)", whole=True),
        Act("refuse", "admin", "Refuse a registration", "The PC is sent away.",
            ("id",), subjects.registration, _refuse, "Reason, as the PC shows it", whole=True),
    )
}  # fmt: skip
