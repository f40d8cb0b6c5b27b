# SPDX-License-Identifier: GPL-3.0-or-later
"""PCs whose battery clocks are years off, with the environment's own kernel."""

import subprocess
import time
from pathlib import Path

import pytest

from .guest_pc import SECONDS, run_tests

_CARD = ["-device", "virtio-net-pci,mac=52:54:00:77:00:01,romfile="]


@pytest.mark.xdist_group("guest")
@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize(
    "says", [pytest.param("2001-01-01T00:00:00", marks=pytest.mark.slow), "2040-06-01T12:00:00"]
)
def test_it_checks_in_and_has_the_servers_time(tmp_path: Path, says: str) -> None:
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    made += ["-nodes", "-days", "2", "-subj", "/CN=img", "-addext", "subjectAltName=IP:127.0.0.1"]
    key, certificate = tmp_path / "key", tmp_path / "crt"
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    reports = run_tests(
        tmp_path,
        "guest_clock",
        [
            f"guest.booted={time.time():.0f}",
            "slipway.session=0123456789abcdef",
            f"slipway.ticket={'t' * 43}",
        ],
        ["-rtc", f"base={says}", *_CARD],
        {
            "project/tls/server.crt": certificate.read_bytes(),
            "project/tls/server.key": key.read_bytes(),
        },
    )
    [report] = reports.values()
    assert report["outcome"] == "passed", report["text"]
