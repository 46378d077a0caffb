"""How binders agree: versioned updates, and anti-entropy for what got lost."""
