"""What `connect` returns: a backend, and everything that a program does with it.

Belongs here: the way from a URL to an open database. Features have packages of their own.
"""
