"""What the store holds: chunks, versions, what is known of them, and their checks."""
