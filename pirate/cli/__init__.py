"""The command line: arguments in, one report out, for people or for scripts."""
