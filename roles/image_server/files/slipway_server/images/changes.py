# SPDX-License-Identifier: GPL-3.0-or-later
"""What people do with images: delete and take back, note and hold, aliases, copy and rename.

What names or holds a version keeps it. Deciding looks at all of that at one moment; who comes to
name a version while it is deleted gets it back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from slipway.format.names import ImageRef, version_key

from ..base import files
from ..base.errors import ServiceError
from . import copies
from .known import Known
from .trash import Deletion

log = logging.getLogger(__name__)

_Version = tuple[str, str]


class Changes:
    """Made inside the running event loop."""

    def __init__(self, known: Known) -> None:
        """``known``: what there is to change, and what names it."""
        self._images, self._catalog, self._labels = known.images, known.catalog, known.labels
        self._aliases, self._policy = known.aliases, known.policy
        self._named, self._run = known.named, known.run
        # One after the other, and what decides is as it was when it is done.
        self.one = asyncio.Lock()

    async def delete(self, name: str, version: str | None, by: str, why: str) -> list[str]:
        """Move a version, or an image with all of its versions, to the trash."""
        async with self.one:
            await self._run(self._images.resolve, name, version)
            there = await self._run(self._images.versions, name)
            gone = there if version is None else [version]
            await self._refuse_in_use(name, gone, len(gone) == len(there), holds=True)
            deletion = Deletion(time.time(), by, why)
            kept = await self.take([(name, each) for each in gone], deletion)
            if kept:
                raise await self._named_error(kept)
        return gone

    async def take(self, versions: Sequence[_Version], deletion: Deletion) -> list[_Version]:
        """Move versions to the trash; return those that somebody has come to name meanwhile.

        The caller holds `one`.
        """
        await self._run(self._take, versions, deletion)
        named = await self._named()
        back = [each for each in versions if each in named]
        for name, version in back:
            await self._run(self._give_back, name, version)
        gone = ", ".join(
            f"{name}@{version}" for name, version in versions if (name, version) not in back
        )
        log.info("deleted by %s (%s): %s", deletion.by, deletion.why, gone or "nothing")
        return back

    def _take(self, versions: Iterable[_Version], deletion: Deletion) -> None:
        for name, version in versions:
            with self._images.moving, suppress(FileNotFoundError):
                try:
                    self._images.trash.take(
                        self._images.path(name, version), name, version, deletion
                    )
                except FileNotFoundError:
                    raise
                except OSError as error:
                    raise ServiceError(
                        "store_failed", f"{name}@{version} was not deleted: {error.strerror}."
                    ) from error
                finally:
                    self._images.touched.add(name)

    def _give_back(self, name: str, version: str) -> None:
        with self._images.moving:
            try:
                self._images.trash.give_back(name, version, self._images.path(name, version))
            except FileExistsError as error:
                raise ServiceError(
                    "name_taken", f"There is a {name}@{version} already: the trash keeps the other."
                ) from error
            except OSError as error:
                raise files.as_service_error(error, f"{name}@{version}") from error
            finally:
                self._images.touched.add(name)

    async def _refuse_in_use(
        self, name: str, versions: Iterable[str], whole: bool, *, holds: bool
    ) -> None:
        """Refuse what would take a version from who names it, or holds it."""
        policy = await self._run(self._policy.current)
        aliases = (await self._run(self._aliases.all)).items()
        named = await self._named()
        who: list[str] = []
        wanted: list[str | None] = [*versions, None] if whole else [*versions]
        for version in wanted:
            who += named.get((name, version), ())
            target = ImageRef(name, version)
            who += [f"alias {alias}" for alias, each in aliases if each.target == target]
            if version is not None and holds:
                who += [f"{version} is {how}" for how in self._catalog.holds(policy, name, version)]
        if whole and not holds and name in policy.images:
            # What the inventory says of a name does not go with the image.
            who.append(f"policy_images.{name}")
        if who:
            raise _in_use(name, who)

    async def _named_error(self, kept: Iterable[_Version]) -> ServiceError:
        named = await self._named()
        [(name, _), *_] = kept
        return _in_use(name, [who for each in kept for who in named.get(each, ())])

    async def undelete(self, name: str, version: str | None) -> list[str]:
        """Take a version, or all of an image, back from the trash."""
        async with self.one:
            there = await self._run(self._images.trash.versions, name)
            wanted = there if version is None else [each for each in there if each == version]
            if not wanted:
                what = ImageRef(name, version)
                raise ServiceError("not_in_trash", f"There is no {what} in the trash.")
            await self._run(self._aliases.refuse, name, "an image that is taken back")
            for each in wanted:
                await self._run(self._give_back, name, each)
        return wanted

    async def empty(self, chosen: Callable[[str, str, Deletion], bool]) -> list[_Version]:
        """Remove versions from the trash for good; their chunks go with a later collection."""
        async with self.one:
            gone = [
                (name, version)
                for name, version, deletion in await self._run(self._images.trash.all)
                if chosen(name, version, deletion)
            ]
            await self._run(self._remove, gone)
            for name, version in gone:
                await self._labels.drop(name, [version])
        if gone:
            log.info("removed from the trash: %s", ", ".join(f"{n}@{v}" for n, v in gone))
        return gone

    def _remove(self, versions: Iterable[_Version]) -> None:
        for name, version in versions:
            with self._images.moving:
                self._images.trash.remove(name, version)

    async def label(
        self, name: str, version: str | None, note: str | None, hold: bool | None, why: str, by: str
    ) -> ImageRef:
        """Note something, hold a version or let it go; None leaves it as it is."""
        async with self.one:
            return await self._label(name, version, note, hold, why, by)

    async def _label(
        self, name: str, version: str | None, note: str | None, hold: bool | None, why: str, by: str
    ) -> ImageRef:
        found = await self._run(self._images.resolve, name, version)
        # A hold is for a version, a note for what was named.
        policy = await self._run(self._policy.current)
        if note is not None:
            said = policy.images.get(name)
            if version is None and said is not None and said.note:
                raise _fixed(f"policy_images.{name}.note", f"the note of {name}")
            before = self._labels.of(name, version)
            await self._labels.set(name, version, replace(before, note=note))
        if hold is not None:
            version, before = found, self._labels.of(name, found)
            said = policy.images.get(name)
            if not hold and said is not None and found in said.hold:
                raise _fixed(f"policy_images.{name}.hold", f"that {name}@{found} is held")
            held = replace(before, hold=why, hold_by=by, hold_at=time.time())
            if not hold:
                held = replace(before, hold=None, hold_by="", hold_at=0.0)
            await self._labels.set(name, found, held)
        return ImageRef(name, version)

    async def set_alias(self, alias: str, target: ImageRef) -> None:
        """Let a name stand for a version, or for the newest of an image."""
        async with self.one:
            known = await self._run(self._aliases.all)
            if alias in known and known[alias].fixed:
                raise _fixed(f"policy_aliases.{alias}", f"what {alias} stands for")
            if target.name in known:
                stands_for = known[target.name].target
                raise ServiceError(
                    "is_alias", f"{target.name} is an alias of {stands_for}: name that."
                )
            if await self._run(self._images.taken, alias):
                raise ServiceError(
                    "name_taken", f"There is an image {alias}, or was: see trash.yml."
                )
            await self._run(self._images.resolve, target.name, target.version)
            await self._aliases.set(alias, target)

    async def drop_alias(self, alias: str) -> None:
        """Forget an alias."""
        async with self.one:
            known = await self._run(self._aliases.all)
            if alias in known and known[alias].fixed:
                raise _fixed(f"policy_aliases.{alias}", f"what {alias} stands for")
            if alias not in known:
                raise ServiceError("unknown_alias", f"There is no alias {alias}.")
            if who := (await self._named()).get((alias, None)):
                raise _in_use(alias, who)
            await self._aliases.drop(alias)

    async def copy(self, name: str, version: str | None, to: str) -> list[str]:
        """Make an image of another name with a version, or the newest, of this one."""
        async with self.one:
            found = await self._run(self._images.resolve, name, version)
            await self._copy(name, [found], to)
        return [found]

    async def rename(self, name: str, version: str | None, to: str, by: str) -> list[str]:
        """Give an image, or a version alone, another name; the old one goes to the trash."""
        async with self.one:
            await self._run(self._images.resolve, name, version)
            there = await self._run(self._images.versions, name)
            moved = there if version is None else [version]
            await self._refuse_in_use(name, moved, len(moved) == len(there), holds=False)
            await self._copy(name, moved, to)
            keys: list[str | None] = [*moved]
            if version is None:
                keys.append(None)
            for key in keys:
                await self._labels.set(to, key, self._labels.of(name, key))
            kept = await self.take(
                [(name, each) for each in moved], Deletion(time.time(), by, f"renamed to {to}")
            )
            if kept:
                raise await self._named_error(kept)
            await self._labels.drop(name, keys)
        return moved

    async def _copy(self, name: str, versions: Iterable[str], to: str) -> None:
        await self._run(self._aliases.refuse, to, "a copy")
        ordered = sorted(versions, key=version_key)
        await self._run(copies.copy, self._images, name, ordered, to)


def _fixed(variable: str, what: str) -> ServiceError:
    return ServiceError("image_fixed", f"The inventory says {what}, in {variable}.")


def _in_use(name: str, who: Sequence[str]) -> ServiceError:
    shown = list(dict.fromkeys(who))
    more = f" and {len(shown) - 10} more" if len(shown) > 10 else ""
    return ServiceError(
        "image_named",
        f"{name} stays as it is, for it is named: {'; '.join(shown[:10])}{more}.",
        named_by=shown[:100],
    )
