# SPDX-License-Identifier: GPL-3.0-or-later
"""Each page, for each role: it is there, it is whole, and it is shown to who may see it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from slipway_web.app import PAGES
from slipway_web.config import ROLES

from ..server import small_disks
from ..server.choosing import make_chooser, order, write_menu
from ..server.conftest import Service, cell
from ..server.reader_beside import POSSIBLE
from ..server.test_begun import until
from ..server.test_contents import save
from ..server.test_media import RECORD as MEDIA
from ..server.test_media import keep as keep_media
from ..server.test_registrations import report
from ..server.test_schedules import write as write_schedules
from .conftest import USERS, Browser, Page, forms

BY_ROLE = {role: name for name, role in USERS.items()}


# These take what reads images, which needs root.
READ = ("/act/fetch", "/downloads/{download}/file")


@pytest.fixture(scope="module")
def places(page: Page, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A path for each route, to something that is there."""
    service = page.service
    pc = make_chooser(service)
    saved = service.machine(machine=pc.name, mac=pc.mac, image=pc.name, arrived=False)
    hardware = {"model": "M1", "disks": [{"path": "/dev/sda", "size": 10**9, "serial": "S1"}]}
    assert saved.check_in(hardware=hardware).status_code == 200
    saved.put(cell("page"))
    version = saved.publish(cell("page")).json()["version"]
    job = order(service, make_chooser(service).name).json()["id"]
    gone = service.image(cell("gone"))
    older = service.image(cell("older"))
    service.admin.delete(f"/v1/images/{gone[0]}/{gone[1]}")
    body = {"image": older[0]}
    assert service.admin.post("/v1/aliases/alias-of-pages", json=body).status_code == 200
    registration = service.http.post("/v1/registrations", json=report()).json()["registration"]
    nightly = {"verb": "wake", "machines": [pc.name], "from": "03:00", "to": "03:01"}
    never = ["2000-01-01..2100-01-01"]
    write_schedules(service, nightly=nightly | {"except": never})
    of_version = f"image={older[0]}&version={older[1]}"
    small = small_disks.save(service, tmp_path_factory.mktemp("small"), {"hello.txt": b"hello"})
    of_small = f"image={small[0]}&version={small[1]}"
    download = small_disks.taken_out(service, *small[:2])
    return {
        "/machines/{machine}": f"/machines/{pc.name}",
        "/images/{image}": f"/images/{pc.name}",
        "/images/{image}/{version}": f"/images/{pc.name}/{version}",
        "/images/{image}/{version}/files": f"/images/{small[0]}/{small[1]}/files",
        "/downloads/{download}": f"/downloads/{download}",
        "/downloads/{download}/file": f"/downloads/{download}/file",
        "/act/fetch": f"/act/fetch?{of_small}&partition=disk0:1&path=/hello.txt",
        "/act/export": f"/act/export?{of_small}&disk=disk0&format=raw",
        "/act/remove-download": f"/act/remove-download?download={download}",
        "/jobs/{job}": f"/jobs/{job}",
        "/schedules/{schedule}": "/schedules/nightly",
        **{f"/act/{name}": f"/act/{name}?schedule=nightly" for name in ("run", "pause", "skip")},
        "/order": f"/order?verb=backup&machine={pc.name}",
        **{
            f"/act/{name}": f"/act/{name}?{of_version}"
            for name in ("check", "note", "hold", "release", "delete", "copy", "point")
        },
        "/act/rename": f"/act/rename?image={older[0]}",
        "/act/boot": f"/act/boot?machine={pc.name}&item=backup",
        "/act/unboot": f"/act/unboot?machine={pc.name}",
        "/act/drop-alias": "/act/drop-alias?alias=alias-of-pages",
        "/act/undelete": f"/act/undelete?image={gone[0]}&version={gone[1]}",
        "/act/cancel": f"/act/cancel?job={job}",
        "/act/end-session": f"/act/end-session?session={saved.session}",
        "/act/approve": f"/act/approve?id={registration['id']}",
        "/act/refuse": f"/act/refuse?id={registration['id']}",
    }


@pytest.mark.parametrize("role", ["", *ROLES])
@pytest.mark.parametrize("line", PAGES)
def test_who_sees_what(page: Page, places: dict[str, str], line: str, role: str) -> None:
    method, path = line.split(" ")
    browser = page.browser(BY_ROLE.get(role, ""))
    least = PAGES[line].role
    may = least is None or (bool(role) and ROLES.index(role) >= ROLES.index(least))  # type: ignore[arg-type]
    if method == "POST":
        # With no key: who may is refused for that, who may not for being who he is.
        answer = browser.post(path, {"name": "x"})
        if least is None:
            assert "The name or the password is wrong." in answer.text
        else:
            assert answer.status_code == (401 if not role else 403)
            assert ("takes the role" in answer.text) == (bool(role) and not may)
        return
    if path == "/live" and may:
        # It has no end: see test_live.py.
        return
    if path in READ and not POSSIBLE:
        pytest.skip("needs root")
    answer = browser.get(places.get(path, path))
    if may:
        assert answer.status_code == (303 if role and path == "/sign-in" else 200), answer.text
    elif role:
        assert (answer.status_code, "takes the role" in answer.text) == (403, True)
    else:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in?next=%2F") or (
            answer.headers["location"].startswith("/sign-in?next=/")
        )


def test_every_page_is_whole(page: Page, places: dict[str, str]) -> None:
    """One heading, no script and no style in it, links that lead somewhere, headers that hold."""
    browser, seen = page.browser("anna"), set[str]()
    todo = ["/", "/account", "/nothing", *places.values()]
    while todo:
        path = todo.pop()
        if path in seen or len(seen) > 200:
            continue
        seen.add(path)
        if not POSSIBLE and path in (places[each] for each in READ):
            continue
        answer = browser.get(path)
        assert answer.status_code == (404 if path == "/nothing" else 200), path
        if path.startswith("/static/"):
            continue
        if path == places["/downloads/{download}/file"]:
            assert answer.headers["x-accel-redirect"].startswith("/internal/downloads/")
            continue
        text = answer.text
        assert len(re.findall("<h1", text)) == 1, path
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?! src=\"/static/)", text), path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        links = re.findall(r'(?:href|src)="([^"#]*)"', text)
        assert all(link.startswith(("/", "?")) for link in links), path
        assert not [link for link in links if link.startswith("//")]
        todo += [link.replace("&amp;", "&") for link in links if link.startswith("/")]
        # A label for each field that somebody fills.
        fields = re.findall(
            r'<(?:input|select)(?![^>]*type="(?:hidden|checkbox)")[^>]*id="(\w+)"', text
        )
        assert all(f'for="{each}"' in text for each in fields), path
        assert all(dict(hidden).get("key") for how, to, hidden in forms(answer) if how == "post")
    assert {path.split("?")[0] for path in seen} >= {"/machines", "/images", "/jobs", "/audit"}


def test_a_backup_is_ordered_and_read_back(page: Page) -> None:
    browser, pc = page.browser("otto"), make_chooser(page.service)
    plan = browser.get(f"/order?verb=backup&machine={pc.name}")
    assert "Nothing is done before you confirm it" in plan.text
    done = browser.send(plan, "/order")
    assert done.status_code == 303
    job = done.headers["location"]
    shown = browser.get(job)
    assert "queued" in shown.text and pc.name in shown.text and "otto" in shown.text
    [known] = [each for each in jobs(page.service) if each["machine"] == pc.name]
    assert (known["origin"], known["by"], known["verb"]) == ("web", "otto", "backup")
    # A double click, and the same after the job has ended: neither is a second job.
    again = browser.send(plan, "/order")
    assert again.status_code == 409 and "not the plan that you confirmed" in again.text
    cancelled = browser.send(browser.get(f"/act/cancel?job={known['id']}"), "/act/cancel")
    assert cancelled.headers["location"] == job
    assert "cancelled" in browser.get(job).text
    assert browser.send(plan, "/order").status_code == 409
    assert len([each for each in jobs(page.service) if each["machine"] == pc.name]) == 1


def jobs(service: Service) -> list[dict[str, str]]:
    return list(service.admin.get("/v1/jobs").json()["jobs"])


def test_several_machines_are_ordered_and_each_says_how_it_went(page: Page) -> None:
    browser = page.browser("otto")
    pcs = [make_chooser(page.service) for _ in range(3)]
    assert order(page.service, pcs[1].name).status_code == 201
    plan = browser.get("/order?verb=verify&" + "&".join(f"machine={pc.name}" for pc in pcs))
    assert plan.text.count("<strong>Nothing:</strong>") == 3, "they have no image"
    plan = browser.get("/order?verb=wake&" + "&".join(f"machine={pc.name}" for pc in pcs))
    done = browser.send(plan, "/order")
    assert done.status_code == 200
    assert done.text.count("<strong>Nothing:</strong>") == 1
    open_jobs = [each for each in jobs(page.service) if each["verb"] == "wake"]
    assert {each["machine"] for each in open_jobs} == {pcs[0].name, pcs[2].name}


def test_a_restore_names_what_it_overwrites_and_its_name_is_typed(page: Page) -> None:
    browser, service = page.browser("otto"), page.service
    pc = make_chooser(service)
    saved = service.machine(machine=pc.name, mac=pc.mac, image=pc.name, arrived=False)
    hardware = {"disks": [{"path": "/dev/sda", "model": "Disk<b>", "serial": "SER", "size": 5e11}]}
    assert saved.check_in(hardware=hardware).status_code == 200
    saved.put(cell("restore me"))
    version = saved.publish(cell("restore me")).json()["version"]
    service.admin.delete(f"/v1/sessions/{saved.session}")
    plan = browser.get(f"/order?verb=restore&machine={pc.name}")
    for shown in (f"{pc.name}@{version}", "Disk&lt;b&gt; SER 500 GB", "just now"):
        assert shown in plan.text
    assert browser.send(plan, "/order").status_code == 400
    assert browser.send(plan, "/order", typed="pc").status_code == 400
    assert not [each for each in jobs(service) if each["machine"] == pc.name]
    done = browser.send(plan, "/order", typed=pc.name)
    assert done.status_code == 303
    [job] = [each for each in jobs(service) if each["machine"] == pc.name]
    assert (job["verb"], job["image"]) == ("restore", f"{pc.name}@{version}")


def test_a_plan_is_stale_when_another_version_is_there(page: Page) -> None:
    browser, service = page.browser("otto"), page.service
    pc = make_chooser(service)

    def save(text: str) -> None:
        machine = service.machine(machine=pc.name, mac=pc.mac, image=pc.name, arrived=False)
        assert machine.check_in().status_code == 200
        machine.put(cell(text))
        assert machine.publish(cell(text)).status_code == 201
        service.admin.delete(f"/v1/sessions/{machine.session}")

    save("one")
    plan = browser.get(f"/order?verb=restore&machine={pc.name}")
    save("two")
    assert browser.send(plan, "/order", typed=pc.name).status_code == 409
    assert not [each for each in jobs(service) if each["machine"] == pc.name]


def test_a_version_is_noted_held_deleted_and_taken_back(page: Page) -> None:
    browser, service = page.browser("anna"), page.service
    name, first = service.image(cell("old one"))
    second = service.machine(image=name)
    second.put(cell("new one"))
    assert second.publish(cell("new one"), name=name).status_code == 201
    about = f"?image={name}&version={first}"

    def act(what: str, **typed: str) -> None:
        done = browser.send(browser.get(f"/act/{what}{about}"), f"/act/{what}", **typed)
        assert done.status_code == 303, done.text

    act("note", text="for <i>Monday</i>")
    assert "for &lt;i&gt;Monday&lt;/i&gt;" in browser.get(f"/images/{name}/{first}").text
    act("hold", text="court")
    held = browser.send(browser.get(f"/act/delete{about}"), "/act/delete", typed=f"{name}@{first}")
    assert held.status_code == 409 and "held" in held.text
    act("release")
    assert browser.send(browser.get(f"/act/delete{about}"), "/act/delete").status_code == 400
    act("delete", typed=f"{name}@{first}", text="old")
    assert browser.get(f"/images/{name}/{first}").status_code == 404
    assert first in browser.get(f"/store?q={name}").text
    act("undelete")
    assert browser.get(f"/images/{name}/{first}").status_code == 200
    told = browser.get(f"/audit?q={name}").text
    assert all(each in told for each in ("delete a version", "undelete", "image_named", "anna"))


def test_a_version_shows_its_partitions_where_it_is_used_and_its_media(page: Page) -> None:
    service, browser = page.service, page.browser("vera")
    name, version = save(service, "<b>Windows</b>")
    bare = browser.get(f"/images/{name}/{version}").text
    for shown in ("disk0:1", "&lt;b&gt;Windows&lt;/b&gt;", "ntfs", "swap", "4.19 MB", "4.1 kB"):
        assert shown in bare
    assert "No menu, alias, order" in bare and "Restore media" not in bare
    assert service.admin.post("/v1/aliases/used", json={"image": name}).status_code == 200
    record = MEDIA | {"name": name, "image": name, "version": version}
    (service.folder / "media").mkdir()
    keep_media(service.folder / "media", name, json.dumps(record), 20, 10)
    told = browser.get(f"/images/{name}/{version}").text
    assert "alias used" in told and "names the image, not this version" in told
    for shown in ("Restore media", "15.8-1~deb12u1", "30 B", "2026-01-02"):
        assert shown in told
    manifest = service.store / "images" / name / f"{version}.json"
    manifest.write_text("{")
    assert "The manifest is damaged" in browser.get(f"/images/{name}/{version}").text
    manifest.unlink()


def test_an_image_is_copied_renamed_and_has_an_alias(page: Page) -> None:
    browser, (name, version) = page.browser("anna"), page.service.image(cell("to be copied"))
    about = f"?image={name}&version={version}"

    def act(what: str, query: str, **typed: str) -> str:
        done = browser.send(browser.get(f"/act/{what}{query}"), f"/act/{what}", **typed)
        assert done.status_code == 303, done.text
        return done.headers["location"]

    assert act("copy", about, text=f"{name}-copy") == f"/images/{name}-copy"
    assert version in browser.get(f"/images/{name}-copy").text
    to = act("rename", f"?image={name}-copy", text=f"{name}-new", typed=f"{name}-copy")
    assert version in browser.get(to).text
    assert browser.get(f"/images/{name}-copy").status_code == 404
    act("point", about, text=f"{name}-alias")
    assert f"alias {name}-alias" in browser.get(f"/images?q={name}").text
    for bad in (name, "../x", "", "a b"):
        answer = browser.send(browser.get(f"/act/point{about}"), "/act/point", text=bad)
        assert 400 <= answer.status_code < 500, bad
    act("drop-alias", f"?alias={name}-alias")
    assert f"{name}-alias" not in browser.get(f"/images?q={name}").text
    told = browser.get(f"/audit?q={name}").text
    assert all(each in told for each in ("copy an image", "rename an image", "point an alias"))


def test_a_browser_that_lists_two_thousand_gets_a_hundred(page: Page) -> None:
    service, browser = page.service, page.browser("vera")
    for number in range(250):
        write_menu(service, f"room-{number:03}", [f"52:54:00:aa:00:{number:02x}"], [])
    answer = browser.get("/machines?q=room-&sort=-name")
    names = re.findall(r'href="/machines/(room-\d+)"', answer.text)
    assert (len(names), names[0]) == (100, "room-249")
    assert "1 of 3" in answer.text and 'aria-sort="descending"' in answer.text
    last = browser.get("/machines?q=room-&sort=-name&page=3")
    assert len(re.findall(r'href="/machines/(room-\d+)"', last.text)) == 50
    assert "250 of " in last.text
    none = browser.get("/machines?q=nobody-has-this")
    assert none.status_code == 200 and "No machine fits." in none.text


def test_signed_out_is_out(page: Page) -> None:
    browser = page.browser("vera")
    kept = Browser(page, cookies=dict(browser.cookies))
    out = browser.send(browser.get("/"), "/sign-out")
    assert out.headers["location"] == "/sign-in"
    assert kept.get("/").status_code == 303


@pytest.mark.skipif(not POSSIBLE, reason="needs root and what exports are made with")
def test_a_file_is_browsed_to_fetched_and_saved_and_a_disk_exported(
    page: Page, tmp_path: Path
) -> None:
    service, browser = page.service, page.browser("otto")
    files = {"folder/odd & {{7-7}}.txt": b"odd", "plain.txt": b"plain"}
    name, version, _ = small_disks.save(service, tmp_path, files)
    place = f"/images/{name}/{version}/files"

    def shown(path: str, word: str) -> str:
        until(lambda: word in browser.get(path).text)
        return browser.get(path).text

    root = shown(place, "plain.txt")
    assert "folder/" in root and "5 B" in root
    assert "Nothing" not in root and page.browser("vera").get(place).status_code == 403
    assert "plain.txt" not in browser.get(f"{place}?q=nothing-like-it").text
    folder = re.findall('href="([^"]*path=/folder)"', root)[0].replace("&amp;", "&")
    inside = shown(folder, "Fetch")
    assert "odd &amp; {{7-7}}.txt" in inside
    fetch = re.findall('href="(/act/fetch[^"]*)"', inside)[0].replace("&amp;", "&")
    until(lambda: browser.get(fetch).status_code == 200)
    to = browser.send(browser.get(fetch), "/act/fetch").headers["location"]
    ready = shown(to, "Save odd &amp; {{7-7}}.txt")
    link = re.findall('href="(/downloads/[^"]*/file)"', ready)[0]
    answer = browser.get(link)
    assert answer.headers["content-disposition"] == (
        "attachment; filename*=UTF-8''odd%20%26%20%7B%7B7-7%7D%7D.txt"
    )
    assert (
        Path(service.folder / "downloads" / answer.headers["x-accel-redirect"][20:]).read_bytes()
        == b"odd"
    )
    export = f"/act/export?image={name}&version={version}&disk=disk0&format=raw"
    to = browser.send(browser.get(export), "/act/export").headers["location"]
    assert f"{name}-{version}-disk0.raw" in shown(to, "Save ")
    about = to.replace("/downloads/", "/act/remove-download?download=")
    gone = browser.send(browser.get(about), "/act/remove-download")
    assert gone.headers["location"] == "/downloads"
    assert browser.get(to).status_code == 404
    assert to not in browser.get("/downloads").text
    for query in ("path=/nothing", "partition=disk9:9", "path=x", "path=%00"):
        answer = browser.get(f"{place}?{query}")
        assert answer.status_code < 500, query
    wrong = browser.get(f"/act/fetch?image={name}&version={version}&partition=&path=/folder")
    assert wrong.status_code == 400 and "no file" in wrong.text
