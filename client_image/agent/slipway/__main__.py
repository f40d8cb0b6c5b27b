# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m slipway`."""

import sys

from slipway.cli.main import main

sys.exit(main())
