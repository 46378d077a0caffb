"""Bytes to frames and frames to bytes. Knows how the protocol is laid out, not what it means.

Imports nothing of ours outside this package.
"""
