"""The door to the network: channels, the reception in front of a server, the dialler."""
