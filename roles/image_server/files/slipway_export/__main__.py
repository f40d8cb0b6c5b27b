# SPDX-License-Identifier: GPL-3.0-or-later
"""python -m slipway_export export|files|mount|unmount|answer: one line of JSON, or why not."""

from __future__ import annotations

import sys

from slipway_export.sandbox import CONFINED, begin_again, is_inside


def main() -> int:
    """Run one verb; return the exit code."""
    if set(sys.argv[1:2]) & set(CONFINED) and not is_inside():
        begin_again()
    # What the verbs need is loaded once, inside.
    from slipway_export import verbs

    return verbs.main()


if __name__ == "__main__":
    sys.exit(main())
