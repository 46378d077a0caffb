"""What is known: which instances provide which service, and whose turn it is."""
