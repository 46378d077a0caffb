"""What a binder commits to a store that several binders share, and what it hears from there."""
