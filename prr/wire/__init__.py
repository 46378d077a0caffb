"""Bytes to frames and frames to bytes. Knows the protocol's layout, and nothing of what it means.

Imports nothing of ours outside this room.
"""
