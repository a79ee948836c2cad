"""Real servers for tests, benchmarks and examples: each from a package, on a free local port, for one run.

from goes_lite_conformance.servers import postgres

with postgres.server() as server:
    print(server.url)

Servers of the user's own can be named by GOES_LITE_TEST_POSTGRES_URL, …_MONGO_URL and …_NATS_URL; then none is
started. The packages with the servers are the dependency group `servers` of this project.
"""

from goes_lite_conformance.servers._child import Child, ServerFailed, ServerMissing, free_port

__all__ = ["Child", "ServerFailed", "ServerMissing", "free_port"]
