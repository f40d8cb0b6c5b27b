# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that stand for a version, or for the newest of an image: they are no images themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slipway.format.names import ImageRef, parse_image_ref

from ..base.errors import ServiceError
from ..base.policy_files import PolicyFile
from ..base.rows import Rows
from .policy import Policy


@dataclass(frozen=True)
class Alias:
    """A name that stands for a version, or for the newest of an image."""

    target: ImageRef
    # Whether the inventory says so.
    fixed: bool


class Aliases:
    """Reading blocks, since the inventory's are in a file, and is safe in threads."""

    def __init__(self, rows: Rows, policy: PolicyFile[Policy]) -> None:
        """Those of the inventory come first."""
        self._rows = rows
        self._policy = policy
        self._own = {key: parse_image_ref(body["image"]) for key, body in rows.load().items()}

    def all(self) -> dict[str, Alias]:
        """Every alias by its name."""
        return self.under(self._policy.current())

    def under(self, policy: Policy) -> dict[str, Alias]:
        """What they are when the inventory says that."""
        own = {name: Alias(target, fixed=False) for name, target in sorted(self._own.items())}
        said = {
            name: Alias(parse_image_ref(text), fixed=True) for name, text in policy.aliases.items()
        }
        return own | said

    def target(self, name: str) -> ImageRef | None:
        """What a name stands for; None: it is no alias."""
        found = self.all().get(name)
        return None if found is None else found.target

    def refuse(self, name: str, doing: str) -> None:
        """Refuse what is for images alone."""
        if (target := self.target(name)) is not None:
            raise ServiceError(
                "is_alias", f"{name} is an alias of {target}: {doing} takes the name of an image."
            )

    async def set(self, name: str, target: ImageRef) -> None:
        """Let a name stand for something else; what was to be checked was checked."""
        self._own[name] = target
        await self._rows.put(name, {"image": str(target)})

    async def drop(self, name: str) -> bool:
        """Forget an alias. False: there was none."""
        found = self._own.pop(name, None)
        if found is not None:
            await self._rows.drop([name])
        return found is not None


def view(name: str, alias: Alias) -> dict[str, Any]:
    """An alias as the API shows it."""
    return {"alias": name, "image": str(alias.target), "fixed": alias.fixed}
