"""What acts. gevent, sockets, the clock, signals and the log live here; decisions do not."""
