# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a machine: what is sent, what is said when it does not come."""

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.plugin_utils._session_wait import (
    Waiter,
    broken_image,
)

SENT = {
    "packets": 1,
    "macs": ["52:54:00:77:00:01"],
    "interface": "lab0",
    "source_address": "10.77.0.1",
    "broadcast": "10.77.0.255",
    "port": 9,
}


class World:
    """A service whose session changes with time, and a wake module that counts."""

    def __init__(self, *sessions: dict[str, Any]) -> None:
        self.sessions = list(sessions)
        self.now = 0.0
        self.waits: list[int] = []
        self.woken = 0
        self.shown: list[str] = []

    def wake(self) -> dict[str, Any]:
        self.woken += 1
        return SENT

    def look(self, seconds: int) -> dict[str, Any]:
        self.waits.append(seconds)
        self.now += seconds
        session = self.sessions.pop(0) if len(self.sessions) > 1 else self.sessions[0]
        checked = (session.get("image_check") or {}).get("state", "")
        return {
            "session": session,
            "reached": session["state"] == "checked_in" and checked != "running",
        }

    def wait(self, **changes: Any) -> dict[str, Any]:
        args = {"until": "checked_in", "timeout": 35, "interval": 10, "wake": {}, **changes}
        self.waiter = Waiter("pc1", args, self.wake, self.look, self.shown.append, lambda: self.now)
        return self.waiter.wait()


def test_packets_are_sent_again_until_the_machine_is_there(session: Callable[..., Any]) -> None:
    world = World(session(), session(boot_script_served=1), session(state="checked_in"))
    assert world.wait()["state"] == "checked_in"
    assert world.woken == 3
    assert "1 magic packet sent, boot script not fetched yet, 0:10 of 0:35" in world.shown[0]
    assert "boot script fetched" in world.shown[1]


def test_the_last_wait_ends_with_the_time(session: Callable[..., Any]) -> None:
    world = World(session())
    with pytest.raises(SlipwayError):
        world.wait()
    assert world.waits == [10, 10, 10, 5]


@pytest.mark.parametrize(
    ("served", "error", "says"),
    [(0, "no_boot", "fetched 0 times"), (2, "no_check_in", "fetched its boot script (2 times)")],
)
def test_what_is_said_when_it_does_not_come(
    session: Callable[..., Any], served: int, error: str, says: str
) -> None:
    with pytest.raises(SlipwayError) as failure:
        World(session(boot_script_served=served)).wait()
    assert failure.value.error == error
    assert says in failure.value.message
    assert (
        "Sent: 4 magic packets for 52:54:00:77:00:01 from lab0 (10.77.0.1) to 10.77.0.255 port 9."
        in failure.value.message
    )
    assert failure.value.remedy


def test_who_asks_in_its_name_is_said(session: Callable[..., Any]) -> None:
    other = {"address": "10.0.0.66\x1b[2J", "why": "its card is 52:54:00:00:00:66", "requests": 3}
    world = World(session(strangers=[other]))
    with pytest.raises(SlipwayError) as failure:
        world.wait()
    assert "refused to 10.0.0.66" in world.shown[0]
    assert failure.value.error == "no_boot"
    said = failure.value.message
    assert "asked for the session of pc1 and was refused (3 times): its card is 52:54:00" in said
    assert said.isprintable()
    for word in ("machine_macs", "machine_ip", "image_server_unproven_addresses"):
        assert word in failure.value.remedy
    with pytest.raises(SlipwayError, match=r"fetched its boot script .*10\.0\.0\.66"):
        World(session(strangers=[other], boot_script_served=1)).wait()


def test_nothing_is_sent_when_nobody_wants_it(session: Callable[..., Any]) -> None:
    world = World(session())
    with pytest.raises(SlipwayError, match="No magic packet was sent"):
        world.wait(wake=None)
    assert world.woken == 0


def test_a_wait_in_several_calls_lets_another_host_wake(session: Callable[..., Any]) -> None:
    world = World(session())
    first = {"patience": 20, "wake": None, "sent": SENT}
    assert world.wait(**first)["state"] == "requested"
    assert not world.waiter.reached
    assert (world.woken, world.waiter.elapsed) == (0, 20)
    assert "1 magic packet sent, boot script not fetched yet, 0:20 of 0:35" in world.shown[-1]
    with pytest.raises(SlipwayError) as failure:
        world.wait(**first | {"waited": 20, "sent": SENT | {"packets": 2}})
    assert world.waiter.elapsed == 35, "the last call ends with the time, not with its patience"
    assert "did not boot from the network within 0:35. Sent: 2 magic" in failure.value.message


def test_a_wait_in_several_calls_ends_with_the_machine(session: Callable[..., Any]) -> None:
    world = World(session(state="checked_in"))
    world.wait(patience=10, waited=300, timeout=600, wake=None)
    assert world.waiter.reached
    assert world.waiter.elapsed == 310


def test_the_service_may_be_first_to_lose_patience(session: Callable[..., Any]) -> None:
    world = World(session(state="ended", outcome="expired"))
    with pytest.raises(SlipwayError) as failure:
        world.wait(timeout=600)
    assert failure.value.error == "no_boot"


def test_a_session_that_somebody_ended(session: Callable[..., Any]) -> None:
    with pytest.raises(SlipwayError, match="ended meanwhile: cancelled"):
        World(session(state="ended", outcome="cancelled")).wait()


def test_waiting_for_the_image_shows_how_far_it_is(session: Callable[..., Any]) -> None:
    running = {"state": "running", "bytes_done": 5_000_000, "bytes_total": 420_000_000}
    sound = {"state": "sound", "problems": []}
    world = World(
        session(state="checked_in", image_check=running),
        session(state="checked_in", image_check=sound),
    )
    found = world.wait(until="image_checked")
    assert world.woken == 0
    assert "5 MB of 420 MB" in world.shown[0]
    assert broken_image(found) is None


def test_a_broken_image_is_named_with_its_chunks(session: Callable[..., Any]) -> None:
    problems = [{"digest": letter * 64, "problem": "missing"} for letter in "abcd"]
    check = {"state": "broken", "problems": problems, "problem_count": 7}
    failure = broken_image(session(version="20260131T235959Z", image_check=check))
    assert failure is not None
    assert "a" * 64 in failure.message
    assert "and 4 more" in failure.message
    check = {"state": "broken", "problems": [{"digest": None, "problem": "no manifest"}]}
    failure = broken_image(session(image_check=check))
    assert failure is not None
    assert "no manifest" in failure.message
