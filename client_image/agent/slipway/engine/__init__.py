"""Reading and writing disks: probe, backup, compare, restore, and the stores they work with."""
