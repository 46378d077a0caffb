"""The log: one line an event, bounded, written by a greenlet of its own."""
