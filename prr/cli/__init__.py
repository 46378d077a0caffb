"""Arguments to configuration to a core and a shell. The only floor that knows all roles."""
