# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: arguments in, views of records and results out. Nothing else exits."""
