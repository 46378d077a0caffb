"""The agent: what speaks to binders for a program that knows nothing of them."""
