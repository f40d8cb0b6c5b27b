"""PCs that ask to become machines, and what machines said about themselves."""
