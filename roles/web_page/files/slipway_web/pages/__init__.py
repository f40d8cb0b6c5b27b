# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages by subject: each asks the service, and hands what it got to a template."""
