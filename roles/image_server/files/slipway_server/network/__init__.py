"""Whose an address is, and who asked from one that is not the machine's."""
