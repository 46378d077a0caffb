"""The page of the demo's cluster, for `demo --http`."""

import os
import sys
import webbrowser

PAGE_ACT = 6.0
"""Seconds that the page has for a death, and for a return."""


def open_page(url: str) -> None:
    """Open a browser, where somebody sits who would see it. No error if there is none."""
    has_display = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if sys.stdout.isatty() and has_display:
        webbrowser.open(url)
