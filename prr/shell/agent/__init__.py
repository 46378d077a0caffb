"""What an agent does: runs a program, and checks whether it works."""
