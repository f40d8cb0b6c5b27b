"""What a session has a claim to, sends and publishes."""
