# SPDX-License-Identifier: GPL-3.0-or-later
"""A school with a history: machines, images, nights, jobs, and a few things that went wrong."""

from __future__ import annotations

import dataclasses
import json
import random
import secrets
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from slipway.format.codec import serialize
from slipway.format.extents import Extents
from slipway.format.frames import digest_of, make_frame
from slipway.format.manifest import Disk, Identity, Machine, Manifest, Segment, Table
from slipway_server.jobs.job import Job

from ..unit.server import small_disks
from ..unit.server.choosing import Chooser, Runner, item, order, write_menu
from ..unit.server.conftest import ADDRESS, CELL, HOST_KEY, Service
from ..unit.server.test_registrations import hardware, report

GB = 10**9
ROOM = [f"room3-pc{number:02}" for number in range(1, 13)]
OFFICE = ["reception", "library", "workshop", "cad-lab"]
MODELS = {"room3": ("Dell", "OptiPlex 7010"), "office": ("Lenovo", "ThinkCentre M75q")}
CONTENT = b"saved".ljust(CELL, b"\x5a")
TOO_OLD, NEVER, DEGRADED, BROKEN = "library", "workshop", "room3-pc07", "cad-lab"
FORGOTTEN = "room3-pc09"
DISK = 256_060_514_304


@dataclass
class School:
    """What is there to be looked at."""

    service: Service
    machines: list[str]
    # Of `room3-pc01`.
    version: str
    running: str
    failed: str
    session: str
    registration: str
    trashed: tuple[str, str]
    # An image that can be looked into, its version, and what was taken out of it.
    kiosk: tuple[str, str]
    download: str

    def paths(self) -> dict[str, str]:
        """A path for each of the page's routes that has a name in it, or asks for one."""
        machine, image = ROOM[0], ROOM[0]
        about = f"image={image}&version={self.version}"
        gone = f"image={self.trashed[0]}&version={self.trashed[1]}"
        return {
            "/machines/{machine}": f"/machines/{machine}",
            "/images/{image}": f"/images/{image}",
            "/images/{image}/{version}": f"/images/{image}/{self.version}",
            "/images/{image}/{version}/files": "/images/{}/{}/files".format(*self.kiosk),
            "/downloads/{download}": f"/downloads/{self.download}",
            "/act/fetch": "/act/fetch?image={}&version={}&partition=disk0:1&path=/hello.txt".format(
                *self.kiosk
            ),
            "/act/export": f"/act/export?{about}&disk=disk0&format=vmdk",
            "/act/remove-download": f"/act/remove-download?download={self.download}",
            "/jobs/{job}": f"/jobs/{self.running}",
            "/store/rules": "/store/rules?last=1&daily=3",
            "/order": f"/order?verb=restore&machine={ROOM[1]}",
            **{
                f"/act/{name}": f"/act/{name}?{about}"
                for name in ("check", "note", "hold", "release", "delete", "copy", "point")
            },
            "/act/rename": f"/act/rename?image={image}",
            "/act/boot": f"/act/boot?machine={machine}&item=backup",
            "/act/unboot": f"/act/unboot?machine={machine}",
            "/act/drop-alias": "/act/drop-alias?alias=lab-base",
            "/act/undelete": f"/act/undelete?{gone}",
            "/act/cancel": f"/act/cancel?job={self.running}",
            "/act/end-session": f"/act/end-session?session={self.session}",
            "/act/approve": f"/act/approve?id={self.registration}",
            "/act/refuse": f"/act/refuse?id={self.registration}",
            "/schedules/{schedule}": "/schedules/nightly",
            **{
                f"/act/{name}": f"/act/{name}?schedule=nightly" for name in ("run", "pause", "skip")
            },
        }


def make_school(service: Service) -> School:
    """Fill a service that has not been started yet."""
    chance = random.Random(5)
    for number, name in enumerate([*ROOM, *OFFICE]):
        items = [
            item("restore", "restore", image=name, title="Restore this PC"),
            item("backup", "backup", image=name, title="Back up this PC"),
        ]
        write_menu(service, name, [mac_of(number)], items, address=f"10.77.0.{20 + number}")
    (service.folder / "policy").mkdir()
    write_policy(service)
    # The store and the state's tables are the service's to make.
    service.start()
    service.stop()
    _write_images(service, chance)
    _write_state(service, chance)
    service.start()
    return _live(service)


def mac_of(number: int) -> str:
    return f"3c:52:82:10:{number >> 8:02x}:{number & 255:02x}"


def write_policy(service: Service) -> None:
    folder = service.folder / "policy"
    images = {
        "keep": {"last": 2, "daily": 7, "weekly": 4, "monthly": 3},
        "images": {ROOM[0]: {"note": "Teacher's PC"}, "cad-lab": {"note": "Course machines"}},
        "aliases": {"lab-base": "cad-lab"},
    }
    nightly = {
        "verb": "backup",
        "machines": ROOM,
        "pattern": "room_3",
        "from": "20:00",
        "to": "06:00",
        "days": ["mon", "tue", "wed", "thu", "fri"],
    }
    check = {
        "verb": "verify",
        "machines": OFFICE,
        "pattern": "office",
        "from": "12:00",
        "to": "14:00",
        "days": ["sun"],
        "every_days": 7,
    }
    plan = {"time_zone": "UTC", "schedules": {"nightly": nightly, "check": check}}
    (folder / "images.json").write_text(json.dumps(images))
    (folder / "schedules.json").write_text(json.dumps(plan))


def vendor_of(name: str) -> tuple[str, str]:
    return MODELS["room3" if name in ROOM else "office"]


def identity_of(name: str) -> Identity:
    return Identity(serial=f"S4EVNF0M{abs(hash_of(name)) % 10**6:06}", model="Samsung SSD 860 EVO")


def hash_of(name: str) -> int:
    return int(digest_of(name.encode())[:8], 16)


# --- images


def _write_images(service: Service, chance: random.Random) -> None:
    path = service.chunk_path(CONTENT)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make_frame(CONTENT))
    now = datetime.now(UTC).replace(microsecond=0)
    for name in [*ROOM, *OFFICE]:
        if name == NEVER:
            continue
        oldest = 40 if name == TOO_OLD else 1
        days = [*range(1, 8), 14, 21, 28, 45, 75] if oldest == 1 else [40, 47, 61]
        if name == FORGOTTEN:
            # Whatever day it is, a prune has something to do.
            days.append(200)
        used = chance.randint(6, 12) * GB
        for days_ago in reversed(days):
            used += chance.randint(-1, 6) * GB // 10
            moment = now - timedelta(days=days_ago, minutes=chance.randint(0, 400))
            degraded = name == DEGRADED and days_ago == 1
            content = b"lost" if name == BROKEN and days_ago == 2 else CONTENT
            _write_version(service, name, moment, used, degraded, content)


def _write_version(
    service: Service, name: str, moment: datetime, used: int, degraded: bool, content: bytes
) -> str:
    version = moment.strftime("%Y%m%dT%H%M%SZ")
    vendor, model = vendor_of(name)
    cell = 4 << 20
    cells = used // cell
    digest = bytes.fromhex(digest_of(content))
    boot = Segment("boot", 0, 1 << 20, Extents.whole(1 << 20), digest, content="table")
    spread = [(number * cell * 4, number * cell * 4 + cell) for number in range(cells)]
    system = Segment(
        "partition",
        1 << 20,
        230 << 30,
        Extents.of(spread),
        digest * cells,
        1,
        content="ntfs",
        method="used",
        label="Windows",
        unreadable=Extents.of([(0, 4096)] if degraded else []),
    )
    disk = Disk("disk0", identity_of(name), DISK, 512, 4096, Table("dos"), (boot, system))
    manifest = Manifest(
        name,
        cell,
        (disk,),
        Machine(name, vendor, model, f"SN{hash_of(name) % 10**7}", "uefi"),
        "0.1.0",
        version,
        moment.isoformat().replace("+00:00", "Z"),
        used * 45 // 100,
    )
    folder = service.store / "images" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{version}.json").write_bytes(serialize(manifest))
    return version


# --- what was


def _write_state(service: Service, chance: random.Random) -> None:
    with closing(sqlite3.connect(service.state / "state.sqlite3")) as db, db:
        for job in _old_jobs(chance):
            text = json.dumps(dataclasses.asdict(job))
            db.execute(
                "INSERT INTO jobs (id, machine, state, ended_at, body) VALUES (?, ?, ?, ?, ?)",
                (job.id, job.machine, job.state, job.ended_at, text),
            )
        for key, body in _history(service, chance).items():
            db.execute("INSERT INTO history VALUES (?, ?)", (key, json.dumps(body)))
        for key, window, nights in _nights(chance):
            db.execute("INSERT INTO windows VALUES (?, ?)", (key, json.dumps(window)))
            for machine, night in nights.items():
                row = (f"{key}/{machine}", json.dumps(night))
                db.execute("INSERT INTO nights VALUES (?, ?)", row)


OUTPUT = """
PLAY [Back up] *****************************************************************

TASK [slipway.imaging.imaging_session : Wake the machine] **********************
changed: [room3-pc03]

TASK [slipway.imaging.imaging_session : Wait until it is there] ****************
ok: [room3-pc03]

TASK [slipway.imaging.imaging_session : Back up its disks] *********************
"""
WENT_WRONG = (
    (
        "The file system of disk0:2 was not shut down cleanly: Windows hibernates (Fast Startup).",
        "Shut Windows down with `shutdown /s /t 0`, or turn Fast Startup off.",
    ),
    (
        "The machine did not answer within 300 s of being woken.",
        "Look whether wake-on-LAN is on in its firmware, and the cable is in.",
    ),
)


def _history(service: Service, chance: random.Random) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    today, room = datetime.now().astimezone().date(), shutil.disk_usage(service.store)
    share = 1.0
    for days_ago in range(1, 90):
        # It grew each night, and a collection freed some now and then.
        share *= 1.1 if days_ago in (11, 33, 60) else 1 - chance.random() / 80
        body = {"used": int((room.total - room.free) * min(share, 1.0)), "total": room.total}
        found[f"room/{today - timedelta(days=days_ago)}"] = body
    for name in [*ROOM, *OFFICE]:
        for path in sorted((service.store / "images" / name).glob("*.json")):
            body = {"image": name, "version": path.stem, "seconds": chance.randint(170, 420)}
            found[f"backup/{name}/{path.stem}"] = body
    return found


def _old_jobs(chance: random.Random) -> list[Job]:
    found, now = [], time.time()
    for hours in range(60, 1, -3):
        name = ROOM[hours % len(ROOM)]
        verb = "backup" if hours % 4 else "verify"
        created = now - hours * 3600 - chance.randint(0, 1800)
        failed = hours in (9, 27)
        message, remedy = WENT_WRONG[hours % 2] if failed else ("", "")
        origin = "schedule" if hours % 5 else "web"
        found.append(
            Job(
                secrets.token_hex(8),
                name,
                (mac_of(hours % 12),),
                verb,
                name,
                created,
                origin,
                "nightly" if origin == "schedule" else "otto",
                "wakes",
                state="ended",
                outcome="failed" if failed else "done",
                message=message,
                remedy=remedy,
                started_at=created + 12,
                ended_at=created + chance.randint(400, 1500),
            )
        )
    return found


def _nights(chance: random.Random) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    found = []
    today = datetime.now(UTC).replace(hour=20, minute=0, second=0, microsecond=0)
    for days_ago in range(33, 0, -1):
        begins = today - timedelta(days=days_ago)
        if begins.weekday() > 4:
            continue
        ends = begins + timedelta(hours=10)
        missed = days_ago == 19
        window = {
            "begins": begins.timestamp(),
            "ends": ends.timestamp(),
            "verb": "backup",
            "by": "",
            "closed_at": ends.timestamp(),
            "missed": missed,
        }
        nights = {}
        for name in [] if missed else ROOM:
            outcome = "done"
            if chance.random() < 0.06:
                outcome = chance.choice(["failed", "no_answer", "was_on", "postponed"])
            ended = begins.timestamp() + chance.randint(600, 30000)
            nights[name] = {
                "outcome": outcome,
                "message": "",
                "remedy": "",
                "tries": 1,
                "job": None,
                "at_work": False,
                "waits": None,
                "ended_at": ended,
            }
        found.append((f"nightly/{begins.date().isoformat()}", window, nights))
    return found


# --- what is


def _live(service: Service) -> School:
    runner = Runner(service)
    runner.poll(0)
    names = [*ROOM, *OFFICE]
    running, session = _job_at_work(service, runner, ROOM[2])
    for name in ROOM[4:6]:
        assert order(service, name).status_code == 201
    # Without an image of its own there is nothing to compare with.
    told = _check_in(service, ROOM[0])
    service.admin.delete(f"/v1/sessions/{told}", params={"outcome": "done"})
    registration = ""
    for number, (vendor, model) in enumerate([("HP", "EliteDesk 800 G4"), ("Dell", "XPS 13")]):
        facts = hardware(vendor=vendor, model=model, serial=f"CZC92{number}47QX", uuid=str(number))
        said = service.http.post("/v1/registrations", json=report(number + 700, hardware=facts))
        assert said.status_code in (200, 201), said.text
        registration = said.json()["registration"]["id"]
    image = "room3-pc12"
    gone = service.admin.get(f"/v1/images/{image}").json()["versions"][-1]["version"]
    by = {"Slipway-By": "anna"}
    service.admin.delete(
        f"/v1/images/{image}/{gone}", params={"reason": "before the new projector"}, headers=by
    )
    newest = service.admin.get(f"/v1/images/{ROOM[0]}").json()["versions"][0]["version"]
    write_media(service, ROOM[0], newest)
    hold = {"version": newest, "hold": True, "reason": "exams"}
    service.admin.post(f"/v1/images/{ROOM[0]}/label", json=hold, headers=by)
    jobs = service.admin.get("/v1/jobs").json()["jobs"]
    failed = [each["id"] for each in jobs if each["outcome"] == "failed"]
    with tempfile.TemporaryDirectory() as folder:
        files = {"hello.txt": b"hello", "Documents/plan.odt": b"x" * 70_000}
        kiosk = small_disks.save(service, Path(folder), files, "kiosk")[:2]
    return School(
        service,
        names,
        newest,
        running,
        failed[-1],
        session,
        registration,
        (image, gone),
        kiosk,
        small_disks.taken_out(service, *kiosk),
    )


def write_media(service: Service, image: str, version: str) -> None:
    """As if somebody had made a stick of it."""
    folder = service.folder / "media" / image
    folder.mkdir(parents=True)
    disc = {"file": f"{image}.iso", "bytes": 9 * GB}
    record = {
        "name": image,
        "image": image,
        "version": version,
        "medium": "usb",
        "unattended": False,
        "bytes": 9 * GB,
        "discs": [disc],
        "made": "2026-11-02T09:30:00Z",
        "shim": "15.8-1~deb12u1",
    }
    (folder / "media.json").write_text(json.dumps(record))


def _check_in(service: Service, name: str) -> str:
    number = [*ROOM, *OFFICE].index(name)
    made = service.machine(machine=name, mac=mac_of(number), arrived=False, image=name)
    vendor, model = vendor_of(name)
    who = identity_of(name)
    disks = [{"path": "/dev/sda", "size": DISK, "serial": who.serial, "model": who.model}]
    facts = hardware(vendor=vendor, model=model, serial=f"SN{hash_of(name) % 10**7}", disks=disks)
    assert made.check_in(hardware=facts).status_code == 200
    return made.session


def _job_at_work(service: Service, runner: Runner, name: str) -> tuple[str, str]:
    number = ROOM.index(name)
    pc = Chooser(service, name, mac_of(number))
    assert order(service, name).status_code == 201
    [job] = runner.poll(1)["begin"]
    session = runner.open_session(job).json()["id"]
    arrived = service.http.post(
        "/v1/checkin",
        json={
            "session": session,
            "macs": [pc.mac],
            "host_key": HOST_KEY,
            "agent_version": "0.1.0",
            "hardware": hardware(model="OptiPlex 7010"),
        },
        headers={"X-Real-IP": ADDRESS},
    )
    assert arrived.status_code == 200, arrived.text
    token = {"Authorization": f"Bearer {arrived.json()['token']}"}
    progress = {
        "phase": "save",
        "disk": "disk0",
        "partition": "1",
        "done": 13_400_000_000,
        "total": 31_800_000_000,
        "rate": 214_000_000,
        "eta": 86,
    }
    said = service.http.post("/v1/session/progress", json=progress, headers=token)
    assert said.status_code in (200, 204), said.text
    says = service.runner.post(f"/v1/jobs/{job['id']}/output", json={"text": OUTPUT})
    assert says.status_code == 200, says.text
    return str(job["id"]), str(session)
