"""Types of partitions that never hold a plain file system, whatever a program finds in them.

What stands there has another reader than a file system's: firmware, a boot loader, a volume
manager, a hash tree. A file system that seems to be in it is what was left there from before, or a
part of something larger, and its free blocks are nobody's to drop.
"""

from __future__ import annotations

from slipway.engine.verity_types import PROTECTED, SIGNATURES
from slipway.format import Table

_BOOT = "boot code without a file system"
_RESERVED = "reserved, without a file system"
_LDM = "a part of a dynamic disk of Windows, whose volumes may begin and end anywhere in it"
_POOL = "a part of a pool, which is sound only with all its disks"
_VERIFIED = "its blocks are verified, free ones as well"
_SLICES = "it has a table of its own"
_MEMORY = "the memory of a sleeping PC"
_DUMP = "for dumps of memory, without a file system"
_RAID = "a part of an array, which is sound only with all its disks"
_ENCRYPTED = "encrypted, without a header"
LDM_DATABASE = "5808C8AA-7E8F-42E0-85D2-E1E90434CFB3"
LDM_DATA = ("42", "AF9B60A0-1431-4F62-BC68-3311714A69AD")
_SUN = "-1DD2-11B2-99A6-080020736631"
_BSD = "-6ECF-11D6-8FF8-00022D09712B"

_MBR = {
    "12": "a vendor's hidden partition: its files alone would not start it",
    "41": _BOOT,  # PReP
    LDM_DATA[0]: _LDM,
    "84": _MEMORY,
    "88": "the text of a partition table",
    "a0": _MEMORY,
    "a1": _MEMORY,
    "a5": _SLICES,  # FreeBSD
    "a7": _SLICES,  # NeXTSTEP
    "a6": _SLICES,  # OpenBSD
    "a9": _SLICES,  # NetBSD
    "ab": _BOOT,  # Darwin
    "be": _BOOT,  # Solaris
    "bf": _SLICES,  # Solaris
    "da": "by its type it holds no file system",
    "f0": _BOOT,  # PA-RISC
    "fb": _POOL,  # VMFS
    "fc": _DUMP,  # VMware
}

_GPT = {
    "21686148-6449-6E6F-744E-656564454649": _BOOT,  # BIOS boot: GRUB
    "9E1A2D38-C612-4316-AA26-8B49521E5A8B": _BOOT,  # PReP
    "83BD6B9D-7F41-11DC-BE0B-001560B84F0F": _BOOT,  # FreeBSD
    "5B193300-FC78-40CD-8002-E86C45580B47": _BOOT,  # HiFive
    "2E54B353-1271-4842-806F-E436D6AF6985": _BOOT,  # HiFive
    "6828311A-BA55-42A4-BCDE-A89BB5EDECAE": _BOOT,  # Marvell
    "3DE21764-95BD-54BD-A5C3-4ABE786F38A8": "variables of U-Boot",
    "024DEE41-33E7-11D3-9D69-0008C781F39F": _SLICES,
    "E3C9E316-0B5C-4DB8-817D-F92DF00215AE": _RESERVED,  # Microsoft
    "8DA63339-0007-60C0-C436-083AC8230908": _RESERVED,  # Linux
    "9198EFFC-31C0-11DB-8F78-000C2911D1B8": _RESERVED,  # VMware
    "D3BFE2DE-3DAF-11DF-BA40-E3A556D89593": _MEMORY,  # Intel Rapid Start
    LDM_DATABASE: "the database of a dynamic disk of Windows",
    LDM_DATA[1]: _LDM,
    "E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D": _POOL,  # Storage Spaces
    "558D43C5-A1AC-43C0-AAC8-D1472B2923D1": "the log of a replicated volume of Windows",
    "37AFFC90-EF7D-4E96-91C3-2D7AE055B174": _POOL,  # GPFS
    "75894C1E-3AEB-11D3-B7C1-7B03A0000000": _POOL,  # HP-UX
    "AA31E02A-400F-11DB-9590-000C2911D1B8": _POOL,  # VMFS
    "381CFCCC-7288-11E0-92EE-000C2911D0B2": _POOL,  # VMware VSAN
    "77719A0C-A4A0-11E3-A47E-000C29745A24": _POOL,  # VMware Virsto
    "9D275380-40AD-11DB-BF97-000C2911D1B8": _DUMP,  # VMware
    "45B0969E-9B03-4F30-B4C6-B4B80CEFF106": _POOL,  # Ceph, journals
    "45B0969E-9B03-4F30-B4C6-5EC00CEFF106": _POOL,
    "CAFECAFE-9B03-4F30-B4C6-B4B80CEFF106": _POOL,  # Ceph, block
    "30CD0809-C2B2-499C-8879-2D6B78529876": _POOL,  # Ceph, block database
    "5CE17FCE-4087-4169-B7FF-056CC58473F9": _POOL,  # Ceph, block log
    "7FFEC5C9-2D00-49B7-8941-3EA10A5586B7": _ENCRYPTED,  # plain dm-crypt
    "2DB519EC-B10F-11DC-B99B-0019D1879648": _ENCRYPTED,  # NetBSD
    "2DB519C4-B10F-11DC-B99B-0019D1879648": _RAID,  # NetBSD, concatenated
    "49F48DAA-B10E-11DC-B99B-0019D1879648": _RAID,  # NetBSD
    "52414944-0000-11AA-AA11-00306543ECAC": _RAID,  # Apple
    "52414944-5F4F-11AA-AA11-00306543ECAC": _RAID,  # Apple, offline
    "53746F72-6167-11AA-AA11-00306543ECAC": _POOL,  # Apple Core Storage
    "FE3A2A5D-4F32-41A7-B725-ACCC3285A309": _BOOT,  # ChromeOS, kernel
    "CAB6E88E-ABF3-4102-A07A-D4BB9BE3C1D3": _BOOT,  # ChromeOS, firmware
    "09845860-705F-4BB5-B16C-8A8A099CAF52": _BOOT,  # ChromeOS, miniOS
    "3CB8E202-3B7E-47DD-8A3C-7FF2A13CFCEC": _VERIFIED,  # ChromeOS, root
    "2E0A753D-9E48-43B0-8337-B15192CB1B5E": _RESERVED,  # ChromeOS
    "3F0F8318-F146-4E6B-8222-C28C8F02E0D5": _MEMORY,  # ChromeOS
    "49A4D17F-93A3-45C1-A0DE-F50B2EBE2599": _BOOT,  # Android
    "4177C722-9E92-4AAB-8644-43502BFD5506": _BOOT,  # Android, recovery
    "EF32A33B-A409-486C-9141-9FFB711F6266": _BOOT,  # Android, messages to its boot loader
    "38F428E6-D326-425D-9140-6E0EA133647C": _VERIFIED,  # Android, system
    "C5A0AEEC-13EA-11E5-A1B1-001E67CA0C3C": _VERIFIED,  # Android, vendor
    "516E7CB4" + _BSD: _SLICES,
    "516E7CB8" + _BSD: _RAID,  # FreeBSD, Vinum
    "516E7CBA" + _BSD: _POOL,  # FreeBSD, ZFS
    "824CC7A0-36A8-11E3-890A-952519AD3F61": _SLICES,  # OpenBSD
    "6A82CB45" + _SUN: _BOOT,
    "6A85CF4D" + _SUN: _POOL,  # Solaris, root
    "6A898CC3" + _SUN: _POOL,  # ZFS
    "6A8B642B" + _SUN: _SLICES,  # Solaris, backup
    "6A9283A5" + _SUN: _RESERVED,  # Solaris, alternate sectors
    "6A945A3B" + _SUN: _RESERVED,
    "6A9630D1" + _SUN: _RESERVED,
    "6A980767" + _SUN: _RESERVED,
    "6A96237F" + _SUN: _RESERVED,
    "6A8D2AC7" + _SUN: _RESERVED,
    **dict.fromkeys(PROTECTED.values(), "hashes of another partition"),
    **dict.fromkeys(SIGNATURES, "the signature of another partition's hashes"),
}

# They hold a file system, of the PC's firmware or of who sold or set it up.
_SERVICE = frozenset(
    {
        "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",  # EFI
        "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC",  # Windows recovery
        "BFBFAFE7-A34F-448A-9A5B-6213EB736C22",  # Lenovo
        "F4019732-066E-4E12-8273-346C5641494F",  # Sony
        "EF",  # EFI
        "27",  # Windows recovery
        "DE",  # Dell
        "FE",  # IBM
    }
)


def is_service(table: Table, number: int | None) -> bool:
    """Whether a partition serves the PC, not the people who use it."""
    types = {line.number: line.type.removeprefix("0x").upper() for line in table.partitions}
    return types.get(number or 0, "") in _SERVICE or bool(why_whole(table, number))


def why_whole(table: Table, number: int | None) -> str:
    """Why a partition is saved whole whatever it holds; empty when what it holds decides."""
    types = {line.number: line.type.removeprefix("0x").upper() for line in table.partitions}
    own = types.get(number or 0, "")
    if table.kind == "dos":
        return _MBR.get(own.lower(), "")
    if PROTECTED.get(own) in types.values():
        return f"{_VERIFIED}: the partition with their hashes is beside it"
    return _GPT.get(own, "")
