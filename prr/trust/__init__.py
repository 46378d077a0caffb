"""Who is who: one secret a cluster, the keys that are derived from it, and the tags they make."""
