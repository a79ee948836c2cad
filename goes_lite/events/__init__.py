"""Events: what is recorded, and how to ask for it.

The event itself, what its fields may be, the registry of names and types, queries, and the context of running code.
"""
