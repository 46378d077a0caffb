"""One runnable file per question. Every loop is bounded, every datagram stays on this host."""
