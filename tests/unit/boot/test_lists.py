# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists that describe the image: each line has a reason, and says what it should."""

from pathlib import Path

import pytest
from slipway_image import lists, modules
from slipway_image.errors import BuildError

IMAGE = Path(__file__).resolve().parents[3] / "client_image/image"


@pytest.mark.parametrize(
    ("name", "words"),
    [("packages.list", 1), ("remove.list", 1), ("masked-units.list", 1), ("modules.list", 2)],
)
def test_every_line_of_the_lists_has_its_reason_and_stands_there_once(
    name: str, words: int
) -> None:
    entries = lists.read(IMAGE / name, words)
    assert entries
    assert len({entry.words for entry in entries}) == len(entries)


def test_a_line_without_a_reason_is_refused_with_its_number() -> None:
    with pytest.raises(BuildError, match="line 2"):
        lists.parse("a  # why\nb\n", "x.list", 1)


def test_remove_list_stays_inside_the_root() -> None:
    for pattern in lists.names(IMAGE / "remove.list"):
        assert not pattern.startswith("/")
        assert ".." not in pattern.split("/")


NEEDS = {
    "kernel/drivers/net/ethernet/intel/e1000e/e1000e.ko": ["kernel/drivers/ptp/ptp.ko"],
    "kernel/drivers/net/wireless/ath/ath.ko": [],
    "kernel/drivers/net/virtio_net.ko": ["kernel/net/core/failover.ko"],
    "kernel/drivers/ptp/ptp.ko": [],
    "kernel/net/core/failover.ko": [],
    "kernel/sound/snd.ko": [],
    "kernel/drivers/block/floppy.ko": [],
    "kernel/drivers/block/loop.ko.xz": [],
}


def rule_list(*lines: str) -> list[modules.Rule]:
    return modules.rules(lists.parse("\n".join(lines), "modules.list", 2))


def test_what_a_kept_module_needs_is_kept_and_the_rest_dropped() -> None:
    kept = modules.select(NEEDS, rule_list("keep drivers/net/ethernet/**  # wired"))
    assert kept == {
        "kernel/drivers/net/ethernet/intel/e1000e/e1000e.ko",
        "kernel/drivers/ptp/ptp.ko",
    }


def test_the_last_matching_rule_decides() -> None:
    rules = rule_list("keep drivers/block/*.ko  # disks", "drop drivers/block/floppy.ko  # slow")
    assert modules.select(NEEDS, rules) == {"kernel/drivers/block/loop.ko.xz"}


def test_a_star_stays_within_a_folder() -> None:
    kept = modules.select(NEEDS, rule_list("keep drivers/net/*.ko  # helpers"))
    assert "kernel/drivers/net/wireless/ath/ath.ko" not in kept
    assert "kernel/drivers/net/virtio_net.ko" in kept


def test_rules_that_match_nothing_are_named() -> None:
    rules = rule_list("keep drivers/net/*.ko  # helpers", "keep drivers/gone/**  # gone")
    assert modules.unused(NEEDS, rules) == ["drivers/gone/**"]


def test_an_unknown_verb_is_refused() -> None:
    with pytest.raises(BuildError, match="neither"):
        rule_list("maybe x/**  # unsure")


@pytest.mark.parametrize(
    "path",
    [
        "drivers/net/ethernet/realtek/r8169.ko",
        "drivers/net/ethernet/broadcom/tg3.ko",
        "drivers/net/usb/r8152.ko",
        "drivers/ata/ahci.ko",
        "drivers/nvme/host/nvme.ko",
        "drivers/scsi/megaraid/megaraid_sas.ko",
        "drivers/scsi/sd_mod.ko",
        "drivers/scsi/sr_mod.ko",
        "drivers/usb/storage/uas.ko",
        "drivers/pci/controller/vmd.ko",
        "drivers/md/dm-snapshot.ko",
        "drivers/md/raid456.ko",
        "drivers/acpi/button.ko",
        "fs/ext4/ext4.ko",
        "net/packet/af_packet.ko",
    ],
)
def test_what_imaging_needs_is_kept(path: str) -> None:
    rules = modules.rules(lists.read(IMAGE / "modules.list", words=2))
    assert modules.select({f"kernel/{path}": []}, rules)


@pytest.mark.parametrize(
    "path",
    [
        "drivers/gpu/drm/i915/i915.ko",
        "drivers/net/wireless/intel/iwlwifi/iwlwifi.ko",
        "sound/core/snd.ko",
        "net/bluetooth/bluetooth.ko",
        "drivers/media/rc/rc-core.ko",
        "fs/nfs/nfs.ko",
    ],
)
def test_what_imaging_cannot_use_is_dropped(path: str) -> None:
    rules = modules.rules(lists.read(IMAGE / "modules.list", words=2))
    assert not modules.select({f"kernel/{path}": []}, rules)
