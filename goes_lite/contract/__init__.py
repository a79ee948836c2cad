"""The contract: the protocols that a backend implements, and that everything else is built on.

Belongs here: promises and the checks of their arguments, one file for each suite of the conformance package. No I/O.
"""
