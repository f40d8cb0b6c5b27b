# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds what a machine boots over the network: kernel, initramfs and site overlay."""
