# SPDX-License-Identifier: GPL-3.0-or-later
"""Guesses of passwords: bounded for each machine, each address, and each password."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from slipway_server.base.errors import ServiceError
from slipway_server.choices.passwords import PasswordHash, Passwords
from slipway_server.choices.turns import Limit, Turns

from .choosing import PASSWORD, password_hash

HASH = PasswordHash.parse(password_hash())


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def run(work: Callable[[Passwords], Coroutine[Any, Any, None]], clock: Clock) -> None:
    async def whole() -> None:
        passwords = Passwords(clock=clock)
        try:
            await work(passwords)
        finally:
            passwords.close()

    asyncio.run(whole())


async def guess(
    passwords: Passwords, machine: int, word: str, address: str = ""
) -> tuple[str, float]:
    where = address or f"10.0.0.{machine}"
    try:
        await passwords.check(f"pc{machine}", HASH, word, where)
    except ServiceError as error:
        return error.error, float(error.details["wait_seconds"])
    return "right", 0.0


def test_forty_machines_are_not_forty_times_as_many_guesses(clock: Clock) -> None:
    async def attack(passwords: Passwords) -> None:
        checked = 0
        # An hour in which each of them guesses every second.
        for _ in range(3600):
            for machine in range(40):
                said, _ = await guess(passwords, machine, f"guess {checked}")
                checked += said == "wrong_password"
            clock.now += 1
        assert checked < 20 + 3600 / 30 + 20, "as many as one machine may"

    run(attack, clock)


def test_at_once_they_have_as_many_as_a_class_room_mistypes(clock: Clock) -> None:
    async def attack(passwords: Passwords) -> None:
        tries = [guess(passwords, machine, "x") for machine in range(200)]
        said = [kind for kind, _ in await asyncio.gather(*tries)]
        assert said.count("wrong_password") == 20
        assert said.count("too_many_tries") == 180

    run(attack, clock)


def test_a_user_who_knows_it_gets_in_during_the_attack(clock: Clock) -> None:
    async def attack(passwords: Passwords) -> None:
        for _ in range(30):
            for machine in range(40):
                await guess(passwords, machine, "x")
            clock.now += 1
        said, wait = await guess(passwords, 99, PASSWORD)
        assert said == "too_many_tries"
        assert wait < 41 * 30, "behind who asked before, and no further"
        until = clock.now + wait
        while clock.now < until:
            for machine in range(40):
                await guess(passwords, machine, "x")
            clock.now += 1
        clock.now = until + 5
        assert (await guess(passwords, 99, PASSWORD))[0] == "right"

    run(attack, clock)


def test_an_address_has_so_many_whatever_machine_it_says(clock: Clock) -> None:
    async def attack(passwords: Passwords) -> None:
        said = [await guess(passwords, machine, "x", "10.0.0.66") for machine in range(40)]
        assert [kind for kind, _ in said].count("wrong_password") == 12
        # Others are not touched.
        assert (await guess(passwords, 77, PASSWORD))[0] == "right"

    run(attack, clock)


def test_right_ones_count_for_nothing(clock: Clock) -> None:
    async def day(passwords: Passwords) -> None:
        for machine in range(100):
            assert (await guess(passwords, machine, PASSWORD, "10.0.0.9"))[0] == "right"

    run(day, clock)


def test_turns_come_in_order_and_are_not_kept_for_ever() -> None:
    turns = Turns(Limit(free=1, longest=8.0))
    for _ in range(20):
        turns.take("x", 0.0)
    first, second, third = (turns.wait(who, 0.0) for who in "abc")
    assert (first, second, third) == (8.0, 16.0, 24.0)
    assert turns.wait("b", 10.0) == 6.0, "asking again moves nobody"
    turns.take("a", 10.0)
    assert turns.wait("b", 16.0) == 0.0
    assert turns.wait("c", 1000.0) == 0.0, "missed: a new turn, at once since nobody waits"
    assert turns.wait("d", 86400.0) == 0.0, "long ago"
