"""pirate: share files between the machines of a network, peer to peer, by SHA-1."""

__version__ = "0.1.0"
