# SPDX-License-Identifier: GPL-3.0-or-later
"""What every other room may use: configuration, errors, files, names, times, records."""
