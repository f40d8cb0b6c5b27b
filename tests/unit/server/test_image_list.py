# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of images that the page shows in parts says what the whole list says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .conftest import Service, cell
from .test_page_socket import ask
from .test_prune import made

DAYS = ("20260101T000000Z", "20260102T000000Z", "20260103T000000Z")


def listed(service: Service, **asked: Any) -> dict[str, Any]:
    answer = ask(service, "GET", "/v1/image-list", "viewer", params=asked)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def names(found: dict[str, Any]) -> list[str]:
    return [each["name"] for each in found["images"]]


def test_a_row_says_what_all_versions_say(own_service: Callable[..., Service]) -> None:
    service = own_service()
    assert listed(service)["images"] == []
    lost = cell("is lost")
    for name, days in (("pc1", 3), ("pc2", 1), ("lab", 2)):
        for day in DAYS[:days]:
            made(service, name, day, lost if (name, day) == ("lab", DAYS[1]) else cell(name + day))
    service.admin.post("/v1/images/pc2/label", json={"note": "Reception"})
    service.admin.post("/v1/aliases/front", json={"image": "pc1"})
    service.chunk_path(lost).unlink()
    assert service.admin.post(f"/v1/images/lab/{DAYS[1]}/check").json()["state"] == "broken"
    whole = service.admin.get("/v1/images").json()
    rows = listed(service)["images"]
    assert names(listed(service)) == ["lab", "pc1", "pc2"]
    for row, image in zip(rows, whole["images"], strict=True):
        newest = image["versions"][0]
        assert row == {
            "name": image["name"],
            "note": image["note"],
            "versions": len(image["versions"]),
            "newest": {key: newest[key] for key in row["newest"]},
            "stored": sum(each["stored"] for each in image["versions"]),
            "aliases": whole["aliases"] if image["name"] == "pc1" else [],
        }
    assert [each["newest"]["good"] for each in rows] == [False, True, True]
    service.admin.delete(f"/v1/images/pc2/{DAYS[0]}")
    assert names(listed(service)) == ["lab", "pc1"], "at once"
    assert [each["versions"] for each in listed(service)["images"]] == [2, 3]


def test_it_is_filtered_sorted_and_cut(own_service: Callable[..., Service]) -> None:
    service = own_service()
    for number in range(103):
        made(service, f"pc{number:03}", DAYS[number % 3], cell("same"))
    service.admin.post("/v1/aliases/front", json={"image": "pc007"})
    service.admin.post("/v1/images/pc008/label", json={"note": "Front desk"})
    second = listed(service, page=2)
    assert names(second) == ["pc100", "pc101", "pc102"]
    assert [second[key] for key in ("found", "total", "page", "pages")] == [103, 103, 2, 2]
    assert names(listed(service, q="FRONT")) == ["pc007", "pc008"]
    assert names(listed(service, q="front desk", sort="-name", page=9)) == ["pc008"]
    newest = [each["newest"]["created"] for each in listed(service, sort="-newest")["images"]]
    assert newest == sorted(newest, reverse=True)
    for sort in ("versions", "size", "-stored", "nothing"):
        assert len(names(listed(service, sort=sort))) == 103
