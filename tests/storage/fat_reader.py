"""Used ranges of FAT12, found without the agent's code."""

import struct
from pathlib import Path


def fat12(path: Path) -> list[tuple[int, int]]:
    """The table as hexadecimal digits: in three bytes AB CD EF lie the entries DAB and EFC."""
    head = path.read_bytes()[:36]
    sector, per_cluster, reserved, tables, roots, _, _, long = struct.unpack_from(
        "<HBHBHHBH", head, 11
    )
    total = struct.unpack_from("<H", head, 19)[0] or struct.unpack_from("<I", head, 32)[0]
    with path.open("rb") as file:
        file.seek(reserved * sector)
        digits = file.read(long * sector).hex()
    triples = [digits[at : at + 6] for at in range(0, len(digits) - 5, 6)]
    entries = [each for d in triples for each in (d[3] + d[0:2], d[4:6] + d[2])]
    data = reserved + tables * long + -(-roots * 32 // sector)
    used, count = [(0, data * sector)], (total - data) // per_cluster
    for number, text in enumerate(entries[2 : 2 + count]):
        start = (data + number * per_cluster) * sector
        used += [(start, start + per_cluster * sector)] if text not in ("000", "ff7") else []
    return [*used, ((data + count * per_cluster) * sector, path.stat().st_size)]
