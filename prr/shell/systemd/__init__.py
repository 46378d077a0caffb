"""Socket activation, notification and watchdog."""
