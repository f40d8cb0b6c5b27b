"""What all unit tests share."""

from hypothesis import settings

# A test that says how long an example may take fails on a busy machine, and proves nothing.
settings.register_profile("slipway", deadline=None)
settings.load_profile("slipway")
