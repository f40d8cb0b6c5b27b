# SPDX-License-Identifier: GPL-3.0-or-later
"""What an action is done to, as its page tells it: what changed since then is refused."""

from __future__ import annotations

from typing import Any

from .. import words
from ..asking import Ask
from ..forms import FormError
from ..service import Refused, path
from .downloads import state_of
from .images import find

Facts = dict[str, Any]


async def version(ask: Ask) -> Facts:
    """A version that is there."""
    image, version = await find(ask, ask.fields.one("image"), ask.fields.one("version"))
    return _of_version(image, version)


async def own_version(ask: Ask) -> Facts:
    """A version that who asks may change."""
    image, version = await find(ask, ask.fields.one("image"), ask.fields.one("version"))
    return _of_version(_yours(image, "image"), version)


def _yours(found: Facts, what: str) -> Facts:
    """Something that who asks sees; Refused if he may not change it."""
    if not found["yours"]:
        raise Refused(
            403,
            {
                "error": "wrong_group",
                "message": f"To change this {what} is for who looks after all machines.",
                "remedy": "Ask somebody who has no groups.",
            },
        )
    return found


def _of_version(image: Facts, version: Facts) -> Facts:
    return {
        "Image": image["name"],
        "Version": version["version"],
        "Machine": version["machine"],
        "Note": version["note"],
        "Held": ", ".join(version["held"]),
        "Kept because": ", ".join(version["kept_because"]),
        "Good versions of the image": sum(each["good"] for each in image["versions"]),
    }


async def trashed(ask: Ask) -> Facts:
    """A version in the trash."""
    wanted = ask.fields.one("image"), ask.fields.one("version")
    for each in (await ask.get(path("trash")))["trash"]:
        if (each["name"], each["version"]) == wanted:
            return {"Image": each["name"], "Version": each["version"], "Deleted by": each["by"],
                    "Why": each["why"]}  # fmt: skip
    raise FormError("That version is not in the trash.")


async def image(ask: Ask) -> Facts:
    """An image."""
    image = _yours(await ask.get(path("images", ask.fields.one("image"))), "image")
    return {"Image": image["name"], "Versions": len(image["versions"]), "Note": image["note"]}


async def alias(ask: Ask) -> Facts:
    """An alias."""
    for each in (await ask.get(path("images")))["aliases"]:
        if each["alias"] == ask.fields.one("alias"):
            return {"Alias": each["alias"], "Stands for": each["image"],
                    "Said by": "the inventory" if each["fixed"] else ""}  # fmt: skip
    raise FormError("There is no such alias.")


async def prune_plan(ask: Ask) -> Facts:
    """What a prune would do now."""
    plan = await ask.get(path("prune"))
    names = [f"{each['name']}@{each['version']}" for each in plan["remove"]]
    return {"Plan": plan["digest"], "Kept": plan["kept"], "To the trash": len(names),
            "Which": ", ".join(names)}  # fmt: skip


async def job(ask: Ask) -> Facts:
    """A job."""
    job = await ask.get(path("jobs", ask.fields.one("job")))
    return {"Machine": job["machine"], "Verb": job["verb"], "Image": job["image"] or "",
            "State": job["outcome"] or job["state"], "By": job["by"]}  # fmt: skip


async def session(ask: Ask) -> Facts:
    """A session."""
    item = await ask.get(path("sessions", ask.fields.one("session")))
    return {"Machine": item["machine"], "Verb": item["verb"], "State": item["state"]}


async def machine(ask: Ask) -> Facts:
    """A machine."""
    machine = await ask.get(path("machines", ask.fields.one("machine")))
    return {"Machine": machine["name"], "Next boot": machine["armed"] or "its menu"}


async def item(ask: Ask) -> Facts:
    """An item of a machine's menu."""
    machine, wanted = (
        await ask.get(path("machines", ask.fields.one("machine"))),
        ask.fields.one("item"),
    )
    if wanted not in [*machine["others"], *(each["id"] for each in machine["items"])]:
        raise FormError("Its menu has no such item.")
    return {"Machine": machine["name"], "Item": wanted,
            "Instead of": machine["armed"] or "its menu"}  # fmt: skip


async def file(ask: Ask) -> Facts:
    """A file of a version."""
    image, version = ask.fields.one("image"), ask.fields.one("version")
    where = {"partition": ask.fields.one("partition"), "path": ask.fields.raw("path")}
    found = await ask.get(path("images", image, version, "files"), **where)
    if found["state"] != "read" or found["kind"] != "file":
        raise FormError(f"{where['path']} is no file, or is still being read.")
    return {"Image": f"{image}@{version}", "Partition": found["partition"], "File": found["path"],
            "Size": words.size(found["size"]), "Modified": found["modified"]}  # fmt: skip


async def disk(ask: Ask) -> Facts:
    """A disk of a version."""
    image, version = await find(ask, ask.fields.one("image"), ask.fields.one("version"))
    for each in version["disks"]:
        if each["id"] == ask.fields.one("disk"):
            return {"Image": f"{image['name']}@{version['version']}", "Disk": each["id"],
                    "Model": each["model"], "Serial number": each["serial"],
                    "Size": words.size(each["size"]), "Used": words.size(each["bytes"]),
                    "Format": ask.fields.one("format"),
                    "Could not be read": words.size(version["unreadable"])
                    if version["degraded"] else ""}  # fmt: skip
    raise FormError("The version has no such disk.")


async def download(ask: Ask) -> Facts:
    """What was taken out of a version."""
    found = await state_of(ask, ask.fields.one("download"))
    return {"Image": f"{found['image']}@{found['version']}", "What": found["what"],
            "State": found["state"], "By": found["by"]}  # fmt: skip


async def upkeep(ask: Ask) -> Facts:
    """The last collection."""
    last = (await ask.get(path("upkeep")))["collection"]
    return {"Last collection": (words.moment(last["at"]) if last else "never")}


async def schedule(ask: Ask) -> Facts:
    """A schedule."""
    said = _yours(await ask.get(path("schedules", ask.fields.one("schedule"))), "schedule")
    return {"Schedule": said["name"], "Verb": said["verb"], "Machines": len(said["machines"]),
            "Window": f"{said['from']} to {said['to']}, {said['time_zone']}",
            "Open now": said["open"] or "", "Next": (said["next"] or {}).get("key", ""),
            "Paused until": said["paused_until"] or "",
            "Left out": said["skips"] or ""}  # fmt: skip


async def registration(ask: Ask) -> Facts:
    """A PC that asks to become a machine."""
    for each in (await ask.get(path("registrations")))["registrations"]:
        if each["id"] == ask.fields.one("id"):
            return {"Name": each["name"], "MACs": ", ".join(each["macs"]), "State": each["state"],
                    "Address": each["address"] or "", "Serial number": each["serial"] or "",
                    "To be approved as": each["wish"] or ""}  # fmt: skip
    raise FormError("There is no such registration.")
