"""Datagrams: sockets, bursts in, batches out."""
