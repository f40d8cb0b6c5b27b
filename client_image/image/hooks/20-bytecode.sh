# SPDX-License-Identifier: GPL-3.0-or-later
# Python's modules are compiled once, here: every boot starts from nothing. Unchecked bytecode
# is not compared with its source at import, which also saves looking.
set -eu
find /usr/lib/python3* -name __pycache__ -prune -exec rm -r {} +
python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /usr/lib/python3*
