# SPDX-License-Identifier: GPL-3.0-or-later
"""After the loss of the memory file the page shows at once what is read, and how far that is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..server.choosing import item, write_menu
from ..server.conftest import Service, cell
from ..server.test_begun import until
from .conftest import Page

NAMES = ("first-pc", "slow-pc", "third-pc")
SAVED = 'data-label="Last good version"><span><time'
SO_FAR = re.compile(r"reads its manifests: (\d) of (\d) versions so far")


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """Of three machines, each with an image of its own."""
    folder = tmp_path / "service"
    folder.mkdir()
    service = Service(folder, policy_dir=str(folder / "policy")).start()
    for number, name in enumerate(NAMES):
        items = [item("backup", "backup", image=name)]
        write_menu(service, name, [f"52:54:00:97:00:{number:02x}"], items)
        pc = service.machine(machine=name, image=name)
        pc.put(cell(name))
        assert pc.publish(cell(name), name=name).status_code == 201
        service.admin.delete(f"/v1/sessions/{pc.session}", params={"outcome": "done"})
    made = Page(tmp_path / "page", service).start()
    yield made
    made.close()
    service.close()


@contextmanager
def _slow(service: Service, aside: Path) -> Iterator[None]:
    """The memory file is lost, and a disk takes its time for one manifest."""
    service.stop()
    for each in service.state.glob("memory.sqlite3*"):
        each.unlink()
    [manifest] = (service.store / "images/slow-pc").iterdir()
    kept = manifest.rename(aside)
    os.mkfifo(manifest)
    service.start()
    try:
        yield
    finally:
        with manifest.open("wb") as slow:
            kept.rename(manifest)
            slow.write(manifest.read_bytes())


def test_what_is_read_is_shown_while_a_manifest_takes_long(page: Page, tmp_path: Path) -> None:
    service, anna = page.service, page.browser("anna")
    assert not SO_FAR.search(anna.get("/images").text)
    with ThreadPoolExecutor(1) as beside:
        with _slow(service, tmp_path / "aside"):
            whole = beside.submit(service.admin.get, "/v1/images", timeout=300)
            for path in ("/", "/images", "/machines", "/store"):
                said = SO_FAR.search(anna.get(path).text)
                assert said is not None and said.groups() == ("1", "3"), path
            for path in ("/store", "/store/rules?last=1"):
                assert "Look again when it has" in anna.get(path).text
            shown = anna.get("/images").text
            assert "/images/first-pc" in shown and "/images/third-pc" not in shown
            assert anna.get("/machines").text.count(SAVED) == 1
            assert "3 machines, 1 images with 1 versions" in anna.get("/").text
            assert anna.get("/machines/third-pc").status_code == 200
            assert not whole.done(), "who does not look at a page is told of all"
        assert [each["name"] for each in whole.result().json()["images"]] == list(NAMES)
    until(lambda: not SO_FAR.search(anna.get("/images").text))
    assert "/images/third-pc" in anna.get("/images").text
    assert anna.get("/machines").text.count(SAVED) == 3
    assert "Look again when it has" not in anna.get("/store").text
