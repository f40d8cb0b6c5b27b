"""Builds what a machine boots over the network: kernel, initramfs and site overlay."""
