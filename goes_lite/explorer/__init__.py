"""The explorer: pages that show a store to people, live, in a browser.

Belongs here: what turns the facts of a store into pages (and the same facts as JSON), and the ways to serve them: a server
for one person (`goes-lite ui`), and applications to mount into a program. It only reads, unless actions are allowed. Pages
read through the blocking face, so that they work on every backend; nothing here knows one.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goes_lite.explorer.app import Explorer
    from goes_lite.explorer.asgi_app import asgi
    from goes_lite.explorer.server import Server, serve
    from goes_lite.explorer.wsgi_app import wsgi

__all__ = ["Explorer", "Server", "asgi", "serve", "wsgi"]

_MODULES = {"app": ("Explorer",), "asgi_app": ("asgi",), "server": ("Server", "serve"), "wsgi_app": ("wsgi",)}
"""The modules that define the names: each is imported when it is first used."""


if not TYPE_CHECKING:  # a type checker that sees it accepts any name

    def __getattr__(name: str) -> object:
        from importlib import import_module

        for module, names in _MODULES.items():
            if name in names:
                return getattr(import_module(f"goes_lite.explorer.{module}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
