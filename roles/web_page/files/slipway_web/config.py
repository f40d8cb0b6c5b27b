# SPDX-License-Identifier: GPL-3.0-or-later
"""The page's configuration: one JSON file, read once, every key checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from .passwords import PasswordHash

Role = Literal["viewer", "operator", "admin"]
# Each may do what those before it may.
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")


class ConfigError(Exception):
    """The configuration file can't be used; the text says which keys and why."""


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class User:
    """Who may sign in, as the inventory says."""

    # As the service takes accounts in its audit.
    name: Annotated[str, Field(pattern="^[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}$")]
    role: Role
    password_hash: Annotated[str, Field(max_length=400)]

    def may(self, role: Role) -> bool:
        """Whether the user has that role, or one that may more."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Token:
    """A program that may ask. Its name stands in the audit, as a user's does."""

    name: Annotated[str, Field(pattern="^[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}$")]
    role: Role
    # SHA-256 of the token, which is random: it needs no slow hash.
    token_hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    def may(self, role: Role) -> bool:
        """Whether it has that role, or one that may more."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Config:
    """What the role web_page decides for the page."""

    service_socket: Path
    state_dir: Path
    users: Annotated[tuple[User, ...], Field(min_length=1, max_length=500)]
    # A sign-in ends after so long without a request, and after so long in any case.
    idle_seconds: Annotated[int, Field(ge=60)] = 3600
    longest_seconds: Annotated[int, Field(ge=60)] = 12 * 3600
    restores: bool = True
    tokens: Annotated[tuple[Token, ...], Field(max_length=500)] = ()

    def user(self, name: str) -> User | None:
        """The user of that name."""
        return next((each for each in self.users if each.name == name), None)


_CONFIG = TypeAdapter(Config)


def load(path: Path) -> Config:
    """Read it; ConfigError names all that is wrong, and no hash of a password."""
    try:
        found = _CONFIG.validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise ConfigError(f"{path}: " + "; ".join(lines)) from error
    if problems := _problems(found):
        raise ConfigError(f"{path}: " + "; ".join(problems))
    return found


def _problems(config: Config) -> list[str]:
    names = [each.name for each in config.users] + [each.name for each in config.tokens]
    found = [
        f"users, tokens: {name} stands there twice"
        for name in sorted(names)
        if names.count(name) > 1
    ]
    if not any(each.role == "admin" for each in config.users):
        found.append("users: nobody has the role admin")
    for each in config.users:
        try:
            PasswordHash.parse(each.password_hash)
        except ValueError as error:
            found.append(f"users: {each.name}: {error}")
    return list(dict.fromkeys(found))
