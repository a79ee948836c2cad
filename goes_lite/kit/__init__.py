"""Building blocks for backends: what several of them would otherwise write again.

Belongs here: code that only backends use, and that names no backend.
"""
