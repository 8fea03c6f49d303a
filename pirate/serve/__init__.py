"""Answering other peers: requests to answers, and the server around them."""
