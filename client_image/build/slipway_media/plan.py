# SPDX-License-Identifier: GPL-3.0-or-later
"""What a set of media will be: its name by all of its inputs, its discs, and what lies on each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway.engine.folder_store import FolderStore
from slipway.engine.target_rule import parse_rule
from slipway.format import (
    STICK,
    Manifest,
    MediaSet,
    parse_image_ref,
    repeated_chunks,
    serialize_set,
)
from slipway_image import cpio

from slipway_media import grub, iso, overlay, spanning, tools
from slipway_media.errors import MediaError

# Bytes for a set.json of a thousand discs, and for what it is off when a size was asked for.
_SLACK = 256 << 10
# What sets are made with: another recipe gives other sets.
_RECIPE = 2
_RULES = frozenset({"model", "least_size", "only_fixed", "machine_serial", "machine_uuid"})


@dataclass(frozen=True)
class Order:
    """What is wanted."""

    store: Path
    environment: Path
    image: str
    medium: str
    name: str = ""
    unattended: bool = False
    countdown: int = 30
    rule: Mapping[str, Any] = field(default_factory=dict)
    shell: bool = False


@dataclass(frozen=True)
class Plan:
    """What is to be made."""

    order: Order
    id: str
    name: str
    manifest: Manifest
    manifest_file: bytes
    members: list[cpio.Member]
    chunks: tuple[iso.Chunk, ...]
    sizes: tuple[int, ...]
    discs: tuple[spanning.Disc, ...]
    base: tuple[int, int]
    """Bytes of a first and of a further disc without chunks."""
    limit: int
    """Bytes of a disc; 0 where a stick may be of any size."""

    @property
    def bytes(self) -> int:
        """Bytes of all discs, at most."""
        return sum(self.disc_bytes(number) for number in range(1, len(self.discs) + 1))

    def disc_bytes(self, number: int) -> int:
        """Bytes of one disc, at most."""
        held = sum(spanning.cost(self.sizes[at]) for at in self.discs[number - 1].positions())
        return self.base[number > 1] + spanning.FOLDERS + held

    def file(self, number: int) -> str:
        """A disc's file name."""
        count = len(self.discs)
        return f"{self.name}.iso" if count == 1 else f"{self.name}-{number}of{count}.iso"

    def about(self, number: int) -> MediaSet:
        """What a disc says of itself."""
        stem = self.name[:20].upper().replace("-", "_")
        labels = tuple(f"{stem}_{at + 1}OF{len(self.discs)}" for at in range(len(self.discs)))
        return MediaSet(
            self.id,
            self.manifest.name,
            self.manifest.version,
            hashlib.sha256(self.manifest_file).hexdigest(),
            number,
            labels,
            tuple(disc.start for disc in self.discs),
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What people and playbooks are told."""
        discs = [
            {"file": self.file(at), "label": self.about(at).labels[at - 1],
             "bytes": self.disc_bytes(at)}
            for at in range(1, len(self.discs) + 1)
        ]  # fmt: skip
        return {
            "set": self.id,
            "name": self.name,
            "image": self.manifest.name,
            "version": self.manifest.version,
            "medium": self.order.medium,
            "unattended": self.order.unattended,
            "shim": grub.shim_version(),
            "bytes": self.bytes,
            "discs": discs,
        }


def make_plan(order: Order, work: Path) -> Plan:
    """Look at the store and the environment, and spread the image over discs. Makes no disc."""
    _check(order)
    limit = 0 if order.medium == STICK else spanning.capacity(order.medium)
    tools.check_for_discs()
    grub.check_installed()
    store = FolderStore(order.store)
    manifest = store.manifest(parse_image_ref(order.image))
    if manifest.unreadable_bytes:
        raise MediaError(
            f"{manifest.name}@{manifest.version} is degraded: {manifest.unreadable_bytes} bytes of "
            "its source could not be read.",
            "Choose another version; this one is restored over the network alone, if need be.",
        )
    file = order.store / "images" / manifest.name / f"{manifest.version}.json"
    content = file.read_bytes()
    members = overlay.members()
    chunks, sizes = _chunks(order, manifest)
    name = order.name or manifest.name
    plan = Plan(
        order, _set_id(order, name, content, members), name, manifest, content,
        members, chunks, sizes, (spanning.Disc(0, len(chunks), ()),), (0, 0), limit,
    )  # fmt: skip
    base = _base(plan, work)
    if not limit:
        return _with(plan, plan.discs, base)
    for room in (limit - each for each in base):
        if room < spanning.LEAST:
            raise MediaError(
                f"The medium is too small: with what starts the PC it has {max(room, 0)} bytes "
                f"left for the image, and {spanning.LEAST} are the least.",
                "Use a larger medium.",
            )
    positions = {chunk.digest: at for at, chunk in enumerate(chunks)}
    repeated = {positions[digest] for digest in repeated_chunks(manifest)}
    shared = sum(spanning.cost(sizes[at]) for at in repeated)
    if shared > min(limit - each for each in base) // 4:
        # Long gaps were saved, too: then they lie on one disc, which is asked for again.
        repeated = {
            positions[digest]
            for segment in manifest.segments()
            if segment.is_table
            for digest in (cell.digest for cell in segment.cells(manifest.cell_size))
        }
    return _with(plan, spanning.span(sizes, repeated, limit - base[0], limit - base[1]), base)


def _with(plan: Plan, discs: tuple[spanning.Disc, ...], base: tuple[int, int]) -> Plan:
    facts = {key: value for key, value in vars(plan).items() if key not in ("discs", "base")}
    return Plan(**facts, discs=discs, base=base)


def _check(order: Order) -> None:
    if unknown := sorted(set(order.rule) - _RULES):
        raise MediaError(
            f"{unknown[0]!r} says nothing about a target.", f"Use {', '.join(sorted(_RULES))}."
        )
    parse_rule(dict(order.rule))
    if not 0 <= order.countdown <= 3600:
        raise MediaError("The countdown is 0 to 3600 seconds.", "Correct it.")
    for name in ("vmlinuz", "initrd.img"):
        if not (order.environment / name).is_file():
            raise MediaError(
                f"There is no {order.environment / name}.",
                "Run playbooks/site.yml, which publishes the imaging environment.",
            )


def _chunks(order: Order, manifest: Manifest) -> tuple[tuple[iso.Chunk, ...], tuple[int, ...]]:
    chunks, sizes = [], []
    for digest, _ in manifest.chunks():
        source = order.store / "chunks" / digest[:2] / digest[2:4] / digest
        try:
            sizes.append(source.stat().st_size)
        except OSError as error:
            raise MediaError(
                f"Chunk {digest} of {manifest.name}@{manifest.version} is not in the store: "
                f"{error.strerror}.",
                "Choose another version; playbooks/images.yml with -e check=true reads it through.",
            ) from error
        chunks.append(iso.Chunk(digest, source))
    return tuple(chunks), tuple(sizes)


def _set_id(order: Order, name: str, manifest: bytes, members: list[cpio.Member]) -> str:
    """The digest of all that the bytes of the discs depend on."""
    files = [order.environment / "vmlinuz", order.environment / "initrd.img"]
    files += [grub.BOOT_HYBRID, *grub.PACKAGES]
    inputs = {
        "recipe": _RECIPE,
        "manifest": hashlib.sha256(manifest).hexdigest(),
        "overlay": overlay.digest(members),
        "files": [_digest(path) for path in files],
        "name": name,
        "medium": order.medium,
        "unattended": order.unattended,
        "countdown": order.countdown,
        "rule": dict(order.rule),
        "shell": order.shell,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _base(plan: Plan, work: Path) -> tuple[int, int]:
    first, further = work / "first", work / "further"
    fill_tree(plan, first, 1)
    further.mkdir()
    (further / "set.json").write_bytes(serialize_set(plan.about(1)))
    label = plan.about(1).labels[0]
    return (
        iso.size(first, label, boots=True) + _SLACK,
        iso.size(further, label, boots=False) + _SLACK,
    )


def mark_of(plan: Plan) -> str:
    """The file by which GRUB knows this set's first disc."""
    return f"/slipway/{plan.id[:32]}"


def fill_tree(plan: Plan, tree: Path, number: int) -> None:
    """Put into a folder what a disc holds beside chunks."""
    tree.mkdir(parents=True)
    (tree / "set.json").write_bytes(serialize_set(plan.about(number)))
    if number > 1:
        return
    order, media_set = plan.order, plan.about(1)
    for folder in (".disk", "boot/grub", "slipway", f"images/{plan.manifest.name}"):
        (tree / folder).mkdir(parents=True)
    (tree / ".disk/info").write_text(f"Slipway {media_set.name()}\n")
    manifest = tree / f"images/{plan.manifest.name}/{plan.manifest.version}.json"
    manifest.write_bytes(plan.manifest_file)
    for name in ("vmlinuz", "initrd.img"):
        link_to(order.environment / name, tree / "slipway" / name)
    about = {
        "set": plan.id,
        "unattended": order.unattended,
        "countdown": order.countdown,
        "rule": dict(order.rule),
    }
    (tree / "slipway/medium.cpio").write_bytes(overlay.pack(plan.members, about))
    (tree / mark_of(plan)[1:]).write_bytes(b"")
    menu = grub.Menu(
        mark_of(plan), f"{plan.manifest.name}@{plan.manifest.version}", len(plan.discs),
        order.unattended, order.shell,
    )  # fmt: skip
    (tree / "boot/grub/grub.cfg").write_text(grub.render(menu))
    iso.boot_files(tree, mark_of(plan))


def link_to(source: Path, target: Path) -> None:
    """A link instead of a copy: nothing changes the file, and xorriso reads through it."""
    target.symlink_to(source.resolve())
