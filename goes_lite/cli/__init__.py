"""The command line: `goes-lite`, `python -m goes_lite`.

Belongs here: commands, and text for people. Other packages implement what the commands show and do.
"""
