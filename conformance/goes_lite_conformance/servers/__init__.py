"""Real servers for tests, benches and examples: each from a package, on a free port of this machine, for one run.

from goes_lite_conformance.servers import postgres

with postgres.server() as server:
    print(server.url)

Where a user has servers of their own, GOES_LITE_TEST_POSTGRES_URL, …_MONGO_URL and …_NATS_URL name them, and none is
started. The packages that the servers come from are the dependency group `servers` of this project.
"""

from goes_lite_conformance.servers._child import Child, ServerFailed, ServerMissing, free_port

__all__ = ["Child", "ServerFailed", "ServerMissing", "free_port"]
