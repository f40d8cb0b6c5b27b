# SPDX-License-Identifier: GPL-3.0-or-later
"""The job runner of a Slipway image server: ordinary playbooks for what PCs' users chose."""
