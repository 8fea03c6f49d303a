"""Getting a file: ask everybody, fetch from a holder, verify, publish."""
