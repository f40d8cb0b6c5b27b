# SPDX-License-Identifier: GPL-3.0-or-later
"""UEFI boot entries: real outputs of efibootmgr, and a firmware that a fake one stands for."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from slipway.engine.boot_entries import boot_next, parse, recorded, restore_entries
from slipway.engine.devices import BlockDisk
from slipway.engine.fit import Fit
from slipway.engine.match import Pair
from slipway.format import (
    BootEntry,
    Disk,
    Extents,
    Identity,
    Machine,
    Manifest,
    Segment,
    Table,
    TablePartition,
    serialize,
)
from slipway.format import (
    parse as parse_manifest,
)

ESP = "72931328-061b-42e0-8fd8-8a5ac7775074"
# efibootmgr 0.5 on a Lenovo U41, as published; efibootmgr 17 on OVMF with Debian.
LENOVO = (
    "BootCurrent: 0008\nTimeout: 0 seconds\nBootOrder: 0010,0003,0004,000B\n"
    "Boot0000  Setup \n"
    "Boot0003* ATA HDD2: WDC WD5000LPVT-08G33T1                      ACPI(a0341d0,0)PCI(1f,2)"
    "03120a00010000000000..bYVD.A...O.*..\n"
    "Boot000B* PCI LAN: EFI Network (IPv4)   ACPI(a0341d0,0)PCI(1c,1)PCI(0,0)MAC(089e01381698,0)"
    "IPv4(0.0.0.0:0<->0.0.0.0:0,0, 0x.J.+*.N.....=8.\n"
    "Boot000C* Lenovo Recovery System    ACPI(a0341d0,0)PCI(1f,2)03120a00010000000000HD(3,276800,"
    "1f4000,26c6992a-07b8-43bc-98b8-d8c83e64db3b)File(\\EFI\\Microsoft\\Boot\\lrsBootMgr.efi)\n"
    "Boot0010* Windows Boot Manager  HD(2,1f4800,82000,72931328-061b-42e0-8fd8-8a5ac7775074)"
    "File(\\EFI\\Microsoft\\Boot\\bootmgfw.efi)WINDOWS.........x...B.C.D.O.B.J.E.C.T.=.{.9.d.e.a."
    "8.6.2.c.-.5.c.d.d.}...e................\n"
)
OVMF = (
    "BootCurrent: 0001\nTimeout: 0 seconds\nBootOrder: 0001,0004,0002,0000\n"
    "Boot0000* UiApp\tFvVol(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)/FvFile(462caa21-7614-4503-836e-"
    "8ab6f4662331)\n"
    "Boot0001* UEFI PXEv4 (MAC:525400770001)\tPciRoot(0x0)/Pci(0x2,0x0)/MAC(525400770001,1)/IPv4("
    "0.0.0.00.0.0.0,0,0)N.....YM....R,Y.\n"
    "Boot0002  off\tHD(1,GPT,72931328-061B-42E0-8FD8-8A5AC7775074,0x800,0x100000)/File("
    "\\EFI\\off\\grub.efi)\n"
    "Boot0004* debian\tHD(1,GPT,72931328-061b-42e0-8fd8-8a5ac7775074,0x800,0x100000)/File("
    "\\EFI\\debian\\shimx64.efi)\n"
)
DEBIAN = BootEntry("debian", "\\EFI\\debian\\shimx64.efi", ESP)
WINDOWS = BootEntry("Windows Boot Manager", "\\EFI\\Microsoft\\Boot\\bootmgfw.efi", ESP)


def test_real_outputs() -> None:
    old = parse(LENOVO)
    assert (old.current, old.order) == ("0008", ("0010", "0003", "0004", "000B"))
    assert [each.number for each in old.entries] == ["000C", "0010"]
    assert old.entries[1].entry == WINDOWS
    assert old.entries[0].entry.label == "Lenovo Recovery System"
    assert [(each.start, each.sectors) for each in old.entries] == [
        (0x276800, 0x1F4000),
        (0x1F4800, 0x82000),
    ]
    new = parse(OVMF)
    assert {(each.start, each.sectors) for each in new.entries} == {(0x800, 0x100000)}
    assert [(each.number, each.active) for each in new.entries] == [("0002", False), ("0004", True)]
    assert new.entries[1].entry == DEBIAN
    assert parse("EFI variables are not supported on this system.\n").entries == ()


def test_what_is_recorded(mock_command: Callable[..., Any]) -> None:
    """Active entries on the machine's disks, those that the firmware tries, in its order."""
    mock_command("efibootmgr", LENOVO)
    assert recorded(Machine(firmware="uefi")).boot_entries == (WINDOWS,)
    assert recorded(Machine(firmware="bios")).boot_entries == ()
    mock_command("efibootmgr", "", 2, "EFI variables are not supported on this system.")
    assert recorded(Machine(firmware="uefi")).boot_entries == ()


def image(*entries: BootEntry) -> Manifest:
    boot = Segment("boot", 0, 4096, Extents.whole(4096), bytes(32))
    table = Table("gpt", partitions=(TablePartition(1, 0x800, 0x100000, "C12A7328", ESP.upper()),))
    disk = Disk("disk0", Identity("S"), 1 << 20, 512, 512, table, (boot,))
    return Manifest("pc", 1 << 20, (disk,), Machine(firmware="uefi", boot_entries=entries))


def test_they_are_kept_in_the_manifest() -> None:
    manifest = image(WINDOWS, DEBIAN)
    assert parse_manifest(serialize(manifest)).machine == manifest.machine


FIRMWARE = r"""#!/usr/bin/python3
import json, sys
path = {path!r}
state = json.load(open(path))
words = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:] if "=" in word)
state["calls"].append(sys.argv[1:])
if "--create-only" in sys.argv and state["mood"] != "deaf":
    number = "%04d" % (max(int(each[0]) for each in state["entries"]) + 5)
    state["entries"].append([number, words["label"],
        "HD(%s,GPT,{esp},%s)/File(%s)" % (words["part"], state["place"], words["loader"])])
if "--delete-bootnum" in sys.argv:
    state["entries"] = [each for each in state["entries"] if each[0] != words["bootnum"]]
    state["order"] = [each for each in state["order"] if each != words["bootnum"]]
if "bootorder" in words and state["mood"] != "stubborn":
    state["order"] = words["bootorder"].split(",")
json.dump(state, open(path, "w"))
if state["mood"] == "full" and "--create-only" in sys.argv:
    sys.exit("Could not prepare Boot variable: No space left on device")
print("BootCurrent: 0001\nBootOrder: " + ",".join(state["order"]))
for number, label, where in state["entries"]:
    print("Boot%s* %s\t%s" % (number, label, where))
"""


class Firmware:
    """A firmware with one network entry, that keeps what it is told, or does not."""

    def __init__(self, folder: Path, mood: str) -> None:
        self.path = folder / "nvram.json"
        network = ["0001", "UEFI PXEv4", "PciRoot(0x0)/MAC(525400770001,1)"]
        shell = ["0002", "EFI Shell", "FvVol(x)"]
        state = {
            "mood": mood,
            "order": ["0001", "0002"],
            "entries": [network, shell],
            "calls": [],
            "place": "0x800,0x100000",
        }
        self.path.write_text(json.dumps(state))

    @property
    def state(self) -> dict[str, Any]:
        return json.loads(self.path.read_text())

    def change(self, **changes: Any) -> None:
        self.path.write_text(json.dumps(self.state | changes))


@pytest.fixture
def firmware(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Firmware:
    made = Firmware(tmp_path, getattr(request, "param", "good"))
    program = tmp_path / "efibootmgr"
    program.write_text(FIRMWARE.replace("{path!r}", repr(str(made.path))).replace("{esp}", ESP))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return made


def run(manifest: Manifest, write: bool = True, fit: Fit | None = None, **target: Any) -> list[str]:
    disk = BlockDisk(Path("/dev/sda"), 1 << 20, 512, 512, Identity("S"), **target)
    pairs = [Pair(manifest.disks[0], disk, fit or Fit())]
    return [each.state for each in restore_entries(manifest, pairs, "uefi", write)]


def test_an_entry_is_made_behind_the_network(firmware: Firmware) -> None:
    """It is read back, the network stays first, and a second run changes nothing."""
    manifest = image(DEBIAN)
    assert run(manifest, write=False) == ["missing"]
    assert len(firmware.state["entries"]) == 2
    assert run(manifest) == ["created"]
    assert firmware.state["order"] == ["0001", "0007", "0002"]
    [create] = [call for call in firmware.state["calls"] if "--create-only" in call]
    assert {
        "--disk=/dev/sda",
        "--part=1",
        "--label=debian",
        "--loader=\\EFI\\debian\\shimx64.efi",
    } <= set(create)
    firmware.change(calls=[])
    assert run(manifest) == run(manifest, write=False) == ["present"]
    assert firmware.state["calls"] == [["-v"], ["-v"]]


def test_an_entry_that_fell_out_of_the_order_is_put_back(firmware: Firmware) -> None:
    run(image(DEBIAN))
    firmware.change(order=["0002"])
    assert run(image(DEBIAN)) == ["created"]
    assert firmware.state["order"] == ["0007", "0002"]
    assert len(firmware.state["entries"]) == 3


@pytest.mark.parametrize(
    ("fit", "place"),
    [
        (Fit(starts={1: 0x1000 * 512}, ends={1: 0x101000 * 512}), "0x1000,0x100000"),
        (Fit(ends={1: 0x80800 * 512}), "0x800,0x80000"),
    ],
    ids=["moved", "smaller"],
)
def test_an_entry_follows_its_partition(firmware: Firmware, fit: Fit, place: str) -> None:
    """Its place stands in the entry, and not all firmware looks at the id alone."""
    manifest = image(DEBIAN)
    run(manifest)
    firmware.change(place=place)
    assert run(manifest, fit=fit, write=False) == ["missing"]
    assert run(manifest, fit=fit) == ["created"]
    [entry] = [each for each in firmware.state["entries"] if each[1] == "debian"]
    assert place in entry[2]
    assert firmware.state["order"].count(entry[0]) == 1
    assert run(manifest, fit=fit) == ["present"]


@pytest.mark.parametrize("firmware", ["deaf", "stubborn", "full"], indirect=True)
def test_a_failure_is_never_silent(firmware: Firmware) -> None:
    manifest = image(DEBIAN)
    disk = BlockDisk(Path("/dev/sda"), 1 << 20, 512, 512, Identity("S"))
    [result] = restore_entries(manifest, [Pair(manifest.disks[0], disk)], "uefi", write=True)
    assert result.state == "failed"
    assert result.problem


def test_the_firmware_is_told_what_to_start_next(firmware: Firmware) -> None:
    """Only an entry of a partition that was asked for, and only one that the firmware tries."""
    assert not boot_next({ESP})
    run(image(DEBIAN))
    firmware.change(calls=[])
    assert boot_next({ESP, "another"}) and not boot_next({"another"}) and not boot_next(set())
    assert [call for call in firmware.state["calls"] if call != ["-v"]] == [
        ["--quiet", "--bootnext=0007"]
    ]
    firmware.change(order=["0001"])
    assert not boot_next({ESP})


def test_what_has_no_business_in_the_firmware(firmware: Firmware) -> None:
    """Entries of other disks, files that stand in for disks, single partitions, BIOS machines."""
    stranger = replace(DEBIAN, partition="00000000-0000-0000-0000-000000000000")
    assert run(image(stranger)) == run(image()) == run(image(DEBIAN), is_file=True) == []
    manifest = image(DEBIAN)
    assert restore_entries(manifest, [], "bios", write=True) == ()
    part = Segment("partition", 4096, 4096, Extents.of([]), b"", 1)
    single = replace(manifest.disks[0], segments=(part,))
    assert run(replace(manifest, disks=(single,))) == []
    assert firmware.state["calls"] == []
