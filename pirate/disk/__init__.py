"""The door to the file system: walking, hashing, and files that grow."""
