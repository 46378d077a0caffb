"""Lookups by DNS: `--dns`. `queries`, `records`, `zone`, `answers` and `budgets` are pure."""
