"""Every page of the tea shop: one address of each view, and of what a view can be asked."""

from __future__ import annotations

PAGES = ("/",)
