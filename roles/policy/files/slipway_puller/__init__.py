# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls versions of images from other sites into this server's store."""
