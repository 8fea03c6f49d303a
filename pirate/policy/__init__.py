"""What to do next: decisions without sockets, files, threads or clocks."""
