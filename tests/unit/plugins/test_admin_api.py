# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of the service, against a real HTTP server on a unix socket, and the modules on it."""

from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import AdminApi, reached
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.modules.session import intrusions

SESSION = "/v1/sessions/0123456789abcdef"
MAC = "52:54:00:77:00:01"


def test_an_error_of_the_service_becomes_message_and_remedy(service: Any) -> None:
    body = {"error": "unknown_image", "message": "no image x\x1b[31m", "remedy": "see images.yml"}
    service.answer("GET", "/v1/images/x", body, 404)
    with pytest.raises(SlipwayError) as failure:
        AdminApi(service.path).image("x")
    assert failure.value.error == "unknown_image"
    assert str(failure.value) == "no image x [31m Remedy: see images.yml"


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b""])
def test_an_answer_that_is_no_object_is_refused(service: Any, answer: bytes) -> None:
    service.answer("GET", "/v1/images", answer, 502)
    with pytest.raises(SlipwayError, match="502"):
        AdminApi(service.path).images()


def test_no_service(tmp_path: Any) -> None:
    with pytest.raises(SlipwayError, match=r"does not answer on .*site\.yml"):
        AdminApi(str(tmp_path / "none.sock")).images()


def test_names_can_not_leave_their_place_in_the_path(service: Any) -> None:
    with pytest.raises(SlipwayError):
        AdminApi(service.path).session("../images?x=")
    assert service.asked[0][1] == "/v1/sessions/..%2Fimages%3Fx%3D"


def test_a_long_poll_names_what_it_waits_for(service: Any, session: Callable[..., Any]) -> None:
    service.answer("GET", SESSION, session(state="checked_in"))
    AdminApi(service.path).session("0123456789abcdef", 90, "checked_in")
    assert service.asked == [("GET", f"{SESSION}?wait=25&until=checked_in", None)]


def test_a_wait_is_over_when_its_time_is(service: Any, session: Callable[..., Any]) -> None:
    service.answer("GET", SESSION, session())
    found = AdminApi(service.path).session("0123456789abcdef", 0.2, "checked_in")
    assert found["state"] == "requested"


def test_what_a_wait_has_reached(session: Callable[..., Any]) -> None:
    assert reached(session(state="ended"), "checked_in")
    assert not reached(session(image_check={"state": "running"}), "image_checked")
    assert reached(session(image_check={"state": "broken"}), "image_checked")


def test_open_a_session(
    service: Any, session: Callable[..., Any], run_module: Callable[..., Any]
) -> None:
    service.answer("POST", "/v1/sessions", session(), 201)
    wanted = {"machine": "pc1", "macs": [MAC.upper()], "verb": "restore", "image": "pc1"}
    result = run_module("session", admin_socket=service.path, **wanted)
    assert result["session"]["id"] == "0123456789abcdef"
    request = {**wanted, "macs": [MAC], "version": None, "ttl_seconds": 600}
    assert service.asked == [("POST", "/v1/sessions", request)]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"machine": "../x"}, "bad_name"),
        ({"image": "{{ 1 }}"}, "bad_name"),
        ({"macs": ["52:54"]}, "bad_mac"),
        ({"image": "pc1@20260131T235959Z"}, "version_given"),
    ],
)
def test_bad_requests_never_reach_the_service(
    service: Any, run_module: Callable[..., Any], changes: dict[str, Any], error: str
) -> None:
    wanted = {"machine": "pc1", "macs": [MAC], "verb": "backup", "image": "pc1", **changes}
    result = run_module("session", admin_socket=service.path, **wanted)
    assert (result["failed"], result["error"]) == (True, error)
    assert service.asked == []


def test_check_mode_opens_and_ends_nothing(
    service: Any, session: Callable[..., Any], run_module: Callable[..., Any]
) -> None:
    options = {"machine": "pc1", "admin_socket": service.path}
    wanted = {"macs": [MAC], "verb": "backup", "image": "pc1"}
    assert run_module("session", check_mode=True, **options, **wanted)["changed"]
    service.answer("GET", "/v1/sessions", {"sessions": [session(), session(state="ended")]})
    result = run_module("session", check_mode=True, state="absent", **options)
    assert result["changed"]
    assert len(result["ended"]) == 1
    assert [method for method, _path, _body in service.asked] == ["GET"]


def test_ending_is_idempotent_and_tells_of_intruders(
    service: Any, session: Callable[..., Any], run_module: Callable[..., Any]
) -> None:
    options = {"state": "absent", "id": "0123456789abcdef", "admin_socket": service.path}
    seen = session(state="checked_in", refused_checkins=2, refused_from="10.0.0.9")
    service.answer("GET", SESSION, seen)
    service.answer("DELETE", SESSION, {**seen, "state": "ended", "outcome": "done"})
    result = run_module("session", outcome="done", **options)
    assert result["changed"]
    assert "10.0.0.9" in intrusions(result["ended"])[0]
    assert service.asked[-1][1] == f"{SESSION}?outcome=done"
    service.answer("GET", SESSION, session(state="ended"))
    assert not run_module("session", **options)["changed"]


def test_session_info_tells_reached_from_ended(
    service: Any, session: Callable[..., Any], run_module: Callable[..., Any]
) -> None:
    options = {"id": "0123456789abcdef", "until": "checked_in", "admin_socket": service.path}
    service.answer("GET", SESSION, session(state="checked_in"))
    assert run_module("session_info", **options)["reached"]
    service.answer("GET", SESSION, session(state="ended", outcome="expired"))
    assert not run_module("session_info", **options)["reached"]


def test_image_info_checks_the_newest_version(service: Any, run_module: Callable[..., Any]) -> None:
    versions = [{"version": "20260101T000000Z-9"}, {"version": "20260101T000000Z-10"}]
    service.answer("GET", "/v1/images/pc1", {"name": "pc1", "versions": versions})
    sound = {"state": "sound", "problems": []}
    service.answer("POST", "/v1/images/pc1/20260101T000000Z-10/check", sound)
    result = run_module("image_info", image="pc1", check=True, admin_socket=service.path)
    assert result["image_check"] == sound
    assert result["version"] == "20260101T000000Z-10"


def test_image_info_warns_of_images_that_are_expected(
    service: Any, run_module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warned.append(text))
    there = {"name": "pc1", "versions": [{"version": "20260131T235959Z"}]}
    service.answer("GET", "/v1/images", {"images": [there, {"name": "empty", "versions": []}]})
    expect = ["pc1", "pc1@20260131T235959Z", "pc1@20260131T235958Z", "empty", "pc2"]
    result = run_module("image_info", expect=expect, admin_socket=service.path)
    assert result["missing"] == expect[2:]
    assert [text.partition(".")[0] for text in warned] == [
        f"There is no image {name}" for name in expect[2:]
    ]
