"""What bytes mean: frames, messages and whose turn it is. Pure; docs/PROTOCOL.md is its prose."""
