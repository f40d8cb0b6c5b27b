# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the image's build importable: it lives beside its data, not in a package of its own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "client_image/image"))
