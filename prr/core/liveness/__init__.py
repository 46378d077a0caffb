"""Who lives: the failure detector, its probes, and what follows from what they find."""
