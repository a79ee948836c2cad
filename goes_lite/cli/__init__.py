"""The command line: `goes-lite`, `python -m goes_lite`.

Belongs here: commands, and text for people. What they show or do is implemented in the packages below.
"""
