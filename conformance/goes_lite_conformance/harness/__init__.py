"""Where a rule runs: storages, faces, worker processes and samples. Public, for tests of your own.

Belongs here: what several suites need to set a scene. A rule itself belongs into a suite.
"""
