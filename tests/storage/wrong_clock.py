# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest whose battery clock is years off, with what its tests of that need."""

import subprocess
import time
from pathlib import Path
from typing import Any

_CARD = ["-device", "virtio-net-pci,mac=52:54:00:77:00:01,romfile="]


def wrong_clock(folder: Path, says: str, *words: str) -> dict[str, Any]:
    """Arguments of `run_tests` for a guest whose battery clock says that; `words` come first."""
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    made += ["-nodes", "-days", "2", "-subj", "/CN=img", "-addext", "subjectAltName=IP:127.0.0.1"]
    key, certificate = folder / "key", folder / "crt"
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return {
        "words": [
            *words,
            f"guest.booted={time.time():.0f}",
            "slipway.session=0123456789abcdef",
            f"slipway.ticket={'t' * 43}",
        ],
        "devices": ["-rtc", f"base={says}", *_CARD],
        "more": {
            "project/tls/server.crt": certificate.read_bytes(),
            "project/tls/server.key": key.read_bytes(),
        },
    }
