"""Kinds of content: one small module for each family, found through `registry`."""
