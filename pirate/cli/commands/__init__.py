"""One module for each command: ``run(arguments, settings, output)`` gives the exit code."""
