# SPDX-License-Identifier: GPL-3.0-or-later
"""The page's configuration: one JSON file, read once, every key checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.dataclasses import dataclass

from .passwords import PasswordHash

Role = Literal["viewer", "operator", "admin"]
# Each may do what those before it may.
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")


# As the service takes them.
Group = Annotated[str, Field(pattern="^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$")]


class ConfigError(Exception):
    """The configuration file can't be used; the text says which keys and why."""


def _hash(text: str) -> str:
    try:
        PasswordHash.parse(text)
    except ValueError:
        # Without what was found: it may be a password in clear.
        raise ValueError("is none as playbooks/menu_password.yml makes it") from None
    return text


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Account:
    """Whoever may ask, as the inventory says."""

    # As the service takes accounts in its audit.
    name: Annotated[str, Field(pattern="^[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}$")]
    role: Role
    # Of the inventory: it sees and acts on the machines of these alone. None: on all.
    groups: Annotated[tuple[Group, ...], Field(min_length=1, max_length=100)] | None = field(
        default=None, kw_only=True
    )

    def may(self, role: Role, *, whole: bool = False) -> bool:
        """Whether it has that role, or one that may more; ``whole``: and all machines."""
        return ROLES.index(self.role) >= ROLES.index(role) and not (whole and self.groups)


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class User(Account):
    """Who may sign in."""

    password_hash: Annotated[str, Field(max_length=400), AfterValidator(_hash)]


def _together(users: tuple[User, ...]) -> tuple[User, ...]:
    found = _twice([each.name for each in users])
    if not any(each.may("admin", whole=True) for each in users):
        found.append("nobody has the role admin without groups")
    if found:
        raise ValueError("; ".join(found))
    return users


def _twice(names: Sequence[str]) -> list[str]:
    return [f"{name} stands there twice" for name in sorted({*names}) if names.count(name) > 1]


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Token(Account):
    """A program that may ask. Its name stands in the audit, as a user's does."""

    # SHA-256 of the token, which is random: it needs no slow hash.
    token_hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Config:
    """What the role web_page decides for the page."""

    service_socket: Path
    state_dir: Path
    users: Annotated[
        tuple[User, ...], Field(min_length=1, max_length=500), AfterValidator(_together)
    ]
    # A sign-in ends after so long without a request, and after so long in any case.
    idle_seconds: Annotated[int, Field(ge=60)] = 3600
    longest_seconds: Annotated[int, Field(ge=60)] = 12 * 3600
    restores: bool = True
    # Whether what is approved is registered by the server itself.
    approves: bool = False
    tokens: Annotated[tuple[Token, ...], Field(max_length=500)] = ()

    @model_validator(mode="after")
    def _names_of_their_own(self) -> Self:
        if found := _twice(
            [each.name for each in self.users] + [each.name for each in self.tokens]
        ):
            raise ValueError("users, tokens: " + "; ".join(found))
        return self

    def user(self, name: str) -> User | None:
        """The user of that name."""
        return next((each for each in self.users if each.name == name), None)


_CONFIG = TypeAdapter(Config)


def load(path: Path) -> Config:
    """Read it; ConfigError names all that is wrong, and no hash of a password."""
    try:
        return _CONFIG.validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}") from error
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise ConfigError(f"{path}: " + "; ".join(faults)) from None
