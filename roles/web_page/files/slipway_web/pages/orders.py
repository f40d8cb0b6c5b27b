# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs for machines: a plan first, then exactly that plan, then what became of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from fastapi import Response

from ..asking import Ask, go
from ..forms import FormError
from ..plans import digest_of, same
from ..service import Refused, path
from .machines import MOST, disks_of

VERBS = ("backup", "verify", "wake", "restore")
AFTER = ("as_found", "poweroff", "reboot")


@dataclass(frozen=True)
class Wanted:
    """What somebody wishes, for one machine or several."""

    verb: str
    machines: tuple[str, ...]
    # Empty: the image that has the machine's name.
    image: str
    after: str

    @property
    def typed(self) -> str:
        """What has to be typed before a disk is overwritten; empty: nothing."""
        if self.verb != "restore":
            return ""
        return self.machines[0] if len(self.machines) == 1 else f"restore {len(self.machines)}"

    def of(self, machine: str) -> dict[str, str]:
        """The wish for one of them, as the service takes it."""
        asked = {"machine": machine, "verb": self.verb, "after": self.after}
        return asked | ({"image": self.image} if self.image else {})


async def plan(ask: Ask) -> Response:
    """Show what it would be; nothing is kept."""
    wanted = await _wanted(ask)
    return _show(ask, wanted, await _rows(ask, wanted))


async def order(ask: Ask) -> Response:
    """Order what was shown, if it still is that; then show the jobs as the service has them."""
    wanted = await _wanted(ask)
    rows = await _rows(ask, wanted)
    if not same(_digest(wanted, rows), ask.fields.one("plan")):
        changed = "This is not the plan that you confirmed: something happened since, or it was "
        return _show(ask, wanted, rows, 409, changed + "sent twice. Nothing was ordered now.")
    if wanted.typed and ask.fields.one("typed") != wanted.typed:
        return _show(
            ask, wanted, rows, 400, f"Type {wanted.typed} to confirm. Nothing was ordered."
        )
    done = [await _order_one(ask, wanted, row) for row in rows]
    if len(done) == 1 and done[0]["job"]:
        return go(f"/jobs/{done[0]['job']['id']}")
    status = 200 if any(each["job"] for each in done) else 409
    return ask.show("ordered.html", status, done=done)


async def _wanted(ask: Ask) -> Wanted:
    fields = ask.fields
    verb = fields.one("verb")
    # In a field that somebody types, several stand beside each other.
    said = " ".join(fields.many("machine")).replace(",", " ")
    machines = tuple(dict.fromkeys(said.split()))
    after, image = fields.one("after") or "as_found", fields.one("image")
    if verb not in VERBS or after not in AFTER:
        raise FormError("There is no such verb.")
    if not machines:
        raise FormError("No machine is selected. Mark some in the list of machines.")
    if len(machines) > MOST:
        raise FormError(f"{len(machines)} machines are selected; at most {MOST} are taken at once.")
    if verb == "restore":
        image = await _pinned(ask, image, machines)
    return Wanted(verb, machines, "" if verb == "wake" else image, after)


async def _pinned(ask: Ask, image: str, machines: tuple[str, ...]) -> str:
    """The version that is meant now: a backup that ends meanwhile is not restored unseen."""
    if not image and len(machines) > 1:
        raise FormError("Say which image is meant for several machines: begin at its version.")
    if not image:
        saved = (await ask.get(path("machines", machines[0])))["saved"]
        image = f"{saved['image']}@{saved['version']}" if saved else machines[0]
    name, _, version = image.partition("@")
    if version:
        return image
    found = await ask.get(path("images", name))
    for each in found["versions"]:
        if each["good"]:
            return f"{found['name']}@{each['version']}"
    raise Refused(
        404,
        {"message": f"{name} has no good version.", "remedy": "Look at the image, name a version."},
    )


async def _rows(ask: Ask, wanted: Wanted) -> list[dict[str, Any]]:
    # Not all at once: others look at their pages meanwhile.
    gate = asyncio.Semaphore(4)

    async def row(name: str) -> dict[str, Any]:
        async with gate:
            return await _row(ask, wanted, name)

    return list(await asyncio.gather(*map(row, wanted.machines)))


async def _row(ask: Ask, wanted: Wanted, name: str) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "machine": None, "image": "", "why": "", "disks": []}
    try:
        made["machine"] = machine = await ask.get(path("machines", name))
        made["image"] = (await ask.act("GET", path("plan"), **wanted.of(name)))["image"] or ""
        if wanted.verb == "restore":
            made["disks"] = disks_of(machine)
    except Refused as error:
        made["why"] = f"{error.message} {error.remedy}"
    return made


def _digest(wanted: Wanted, rows: list[dict[str, Any]]) -> str:
    # With each machine's last job: once ordered, the same plan is another one.
    return digest_of(
        wanted.verb,
        wanted.image,
        wanted.after,
        [
            [
                row["name"],
                row["image"],
                bool(row["why"]),
                row["disks"],
                (row["machine"] or {}).get("saved"),
                ((row["machine"] or {}).get("job") or {}).get("id"),
            ]
            for row in rows
        ],
    )


async def _order_one(ask: Ask, wanted: Wanted, row: dict[str, Any]) -> dict[str, Any]:
    if row["why"]:
        return {"name": row["name"], "job": None, "why": row["why"]}
    try:
        made = await ask.act("POST", path("jobs"), wanted.of(row["name"]))
        # As the service has it now, not as it was asked for.
        job = await ask.get(path("jobs", made["id"]))
        return {"name": row["name"], "job": job, "why": ""}
    except Refused as error:
        return {"name": row["name"], "job": None, "why": f"{error.message} {error.remedy}"}


def _show(
    ask: Ask, wanted: Wanted, rows: list[dict[str, Any]], status: int = 200, problem: str = ""
) -> Response:
    return ask.show(
        "order.html",
        status,
        wanted=wanted,
        rows=rows,
        plan=_digest(wanted, rows),
        problem=problem,
        possible=any(not row["why"] for row in rows),
    )
