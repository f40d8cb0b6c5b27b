"""Makes boot media for PCs that can't boot from the network by themselves."""
