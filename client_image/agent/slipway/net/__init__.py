"""Talking to the image server: the HTTPS store, sessions, check-in."""
