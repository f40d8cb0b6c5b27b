# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks and single files out of images, on the image server, each in a sandbox of its own."""

# What a disk can be exported as.
FORMATS = ("qcow2", "vmdk", "raw")
