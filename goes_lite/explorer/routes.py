"""Which page an address names. A page is a module of `goes_lite.explorer.pages`, imported when it is first asked for.

A page has `read(source, request)`, which returns what it shows as data for JSON, and `render(data, frame)`, which makes
markup from that data alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from goes_lite.explorer.html import Html

if TYPE_CHECKING:
    from goes_lite.explorer.exchange import Request
    from goes_lite.explorer.frame import Frame
    from goes_lite.explorer.source import Source


class Page(Protocol):
    """What the module of a page has. It may also have `title(data)`; else the label of its route is its title."""

    def read(self, source: Source, request: Request) -> Mapping[str, Any]:
        """Return what the page shows, as data for JSON. It is bounded: its cost does not grow with the store."""
        ...

    def render(self, data: Mapping[str, Any], frame: Frame) -> Html:
        """Return the markup of these data."""
        ...


class Route(NamedTuple):
    """A page and its address."""

    path: str
    page: str
    """The module in `goes_lite.explorer.pages`."""
    label: str
    argument: bool = False
    """Whether something follows the path: `/event/12`."""
    menu: bool = False
    """Whether the menu of all pages has it."""


ROUTES: tuple[Route, ...] = (
    Route("/", "overview", "Overview", menu=True),
    Route("/log", "log", "Log", menu=True),
    Route("/event", "event", "Event", argument=True),
    Route("/aggregates", "aggregates", "Aggregates", menu=True),
    Route("/aggregate", "aggregate", "Aggregate", argument=True),
    Route("/models", "models", "Read models", menu=True),
    Route("/models", "models", "Read models", argument=True),
    Route("/projection", "projection", "Projection", argument=True),
    Route("/consumers", "consumers", "Consumers", menu=True),
    Route("/consumers", "consumers", "Consumer", argument=True),
    Route("/commands", "commands", "Commands", menu=True),
    Route("/commands", "commands", "Command", argument=True),
    Route("/workflows", "workflows", "Workflows", menu=True),
    Route("/workflows", "workflows", "Instance", argument=True),
    Route("/search", "search", "Search", menu=True),
)
"""Every page; the menu has its order."""


def find(path: str, of: str = "") -> tuple[Route, str] | None:
    """Return the page that a path names, and what follows; `of` is what follows, for what no path can say (see `href`)."""
    head, _, rest = path.removeprefix("/").partition("/")
    argument = rest or of
    for route in ROUTES:
        if route.path == f"/{head}" and route.argument == bool(argument):
            return route, argument
    return None


def page_of(route: Route) -> Page:
    """Import the module of a page."""
    return cast("Page", import_module(f"goes_lite.explorer.pages.{route.page}"))
