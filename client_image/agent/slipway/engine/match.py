"""Which disk of this machine is which disk of the image: by identity, never by order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from slipway.engine.devices import BlockDisk
from slipway.engine.errors import TargetRefused, UsageError
from slipway.engine.fit import Fit, fit
from slipway.engine.reshape import Shrinker
from slipway.engine.selection import Growing, is_whole
from slipway.format import Disk, Identity, Manifest


@dataclass(frozen=True)
class Pair:
    """A disk of the image, as it fits its target, and the disk that it belongs on."""

    image: Disk
    target: BlockDisk
    fit: Fit = field(default_factory=Fit)


def match_disks(
    manifest: Manifest,
    candidates: Sequence[BlockDisk],
    overrides: Mapping[str, BlockDisk],
    named: bool,
    grow: Mapping[str, Sequence[Growing]] | None = None,
    shrinker: Callable[[Disk], Shrinker] | None = None,
) -> tuple[Pair, ...]:
    """Find the target of every disk of the image, or refuse.

    `candidates` are the disks to choose from; `named` says that the user listed them, which is
    what a disk without a serial number needs. `overrides` are chosen by the user one by one;
    `grow` has the partitions that are to grow, by disk; `shrinker` makes those of a disk smaller.
    """
    known = {disk.id for disk in manifest.disks}
    if strangers := sorted(set(overrides) - known):
        raise UsageError(
            f"the image has no disk {strangers[0]}", f"it has {', '.join(sorted(known))}"
        )
    pairs = [
        _pair(disk, overrides.get(disk.id) or _find(disk, candidates, named))
        for disk in manifest.disks
    ]
    for pair in pairs:
        _check_fit(pair)
    paths = [pair.target.path.resolve() for pair in pairs]
    for path in paths:
        if paths.count(path) > 1:
            raise TargetRefused(
                f"two disks of the image would go to {path}",
                "name the target of each with --target",
            )
    return tuple(
        _fitted(
            pair,
            manifest.cell_size,
            (grow or {}).get(pair.image.id, ()),
            shrinker(pair.image) if shrinker else None,
        )
        for pair in pairs
    )


def same_disk(wanted: Identity, found: Identity) -> bool:
    """Whether both are one disk: serial or WWN agree, and nothing that both say differs."""
    both = [(getattr(wanted, key), getattr(found, key)) for key in ("serial", "wwn", "model")]
    if any(a and b and a != b for a, b in both):
        return False
    if wanted.serial:
        return wanted.serial == found.serial
    return bool(wanted.wwn) and wanted.wwn == found.wwn


def _find(disk: Disk, candidates: Sequence[BlockDisk], named: bool) -> BlockDisk:
    wanted = disk.identity
    if wanted.serial or wanted.wwn:
        fitting = [each for each in candidates if same_disk(wanted, each.identity)]
    elif named:
        # Neither says who it is: the user's word and an equal size have to do.
        fitting = [
            each
            for each in candidates
            if each.size == disk.size
            and (not each.identity.model or each.identity.model == wanted.model)
        ]
    else:
        raise TargetRefused(
            f"{disk.id} of the image has no serial number to find it by",
            f"name its target: --target {disk.id}=DISK; {_seen(candidates)}",
        )
    if len(fitting) == 1:
        return fitting[0]
    what = "several disks are" if fitting else "no disk is"
    raise TargetRefused(
        f"{what} {disk.id} of the image ({wanted}, {disk.size} bytes)",
        f"name the right one: --target {disk.id}=DISK; {_seen(candidates)}",
    )


def _pair(image: Disk, target: BlockDisk) -> Pair:
    if target.is_file and target.size % image.logical_sector == 0:
        # A file has no sectors of its own: it takes those of the disk that it will hold.
        sector = image.logical_sector
        target = replace(target, logical_sector=sector, physical_sector=image.physical_sector)
    return Pair(image, target)


def _check_fit(pair: Pair) -> None:
    image, target = pair.image, pair.target
    if target.read_only:
        raise TargetRefused(f"{target.path} is write-protected", "remove the protection")
    if target.logical_sector != image.logical_sector:
        raise TargetRefused(
            f"{target.path} has sectors of {target.logical_sector} bytes, {image.id} of the image "
            f"of {image.logical_sector}",
            "use a disk with the same sector size",
        )


def _fitted(pair: Pair, cell_size: int, grow: Sequence[Growing], shrinker: Shrinker | None) -> Pair:
    if not is_whole(pair.image):
        return pair
    try:
        image, how = fit(pair.image, pair.target.size, cell_size, grow, shrinker)
    except TargetRefused as error:
        raise TargetRefused(f"{pair.target.path}: {error.message}", error.remedy) from error
    return Pair(image, pair.target, how)


def _seen(candidates: Sequence[BlockDisk]) -> str:
    return "disks seen: " + ("; ".join(str(each) for each in candidates) or "none")
