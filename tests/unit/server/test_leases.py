"""dnsmasq's file of leases, as it writes it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from slipway_server.network.leases import Leases

CARD, OTHER = "52:54:00:77:00:01", "52:54:00:77:00:02"


def write(path: Path, *lines: str) -> None:
    new = path.with_suffix(".new")
    new.write_text("".join(f"{line}\n" for line in lines))
    new.replace(path)


def test_a_lease_holds_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "leases"
    leases = Leases(path)
    assert leases.card_of("10.0.0.1") is None, "no file yet"
    now = int(time.time())
    write(
        path,
        f"{now + 100} {CARD} 10.0.0.1 pc1 01:{CARD}",
        f"{now - 1} {CARD} 10.0.0.2 pc1 *",
        f"0 {OTHER} 10.0.0.3 * *",
        f"{now + 100} 06-{OTHER} 10.0.0.4 * *",
        "duid 00:01:00:01:2c:aa",
        f"{now + 100} 123456 fd00::5 pc6 00:01:00:01",
        "",
        f"{now + 100} {CARD} 10.0.0.5",
    )
    found = [leases.card_of(f"10.0.0.{number}") for number in range(1, 6)]
    assert found == [CARD, None, OTHER, None, None]
    write(path, f"{now + 100} {OTHER} 10.0.0.1 pc2 *")
    assert leases.card_of("10.0.0.1") == OTHER
    path.unlink()
    assert leases.card_of("10.0.0.1") is None


def test_where_somebody_else_hands_out_addresses_there_are_none() -> None:
    assert Leases(None).card_of("10.0.0.1") is None


def test_a_file_that_is_being_written_takes_nobodys_lease(tmp_path: Path) -> None:
    path, stop = tmp_path / "leases", threading.Event()
    lines = [f"0 52:54:00:77:01:{number:02x} 10.0.1.{number} pc{number} *" for number in range(200)]
    text = "".join(f"{line}\n" for line in lines)
    path.write_text(text)

    def rewrite() -> None:
        """As dnsmasq does, only slower."""
        while not stop.wait(0.002):
            with path.open("r+") as file:
                file.truncate()
                time.sleep(0.002)
                file.write(text[:4096])
                file.flush()
                time.sleep(0.002)
                file.write(text[4096:])

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        leases = Leases(path)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert leases.card_of("10.0.1.199") == "52:54:00:77:01:c7"
    finally:
        stop.set()
        writer.join()
