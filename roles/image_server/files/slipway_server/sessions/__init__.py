"""Stays of machines in the imaging environment, from the request to the end."""
