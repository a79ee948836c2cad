"""The pages of the API reference: every public name, on the page of its topic, each with its form for blocking programs.

A page only names what it shows; mkdocstrings takes signatures and docstrings from the sources. A public name that no topic has
is shown on the page of the database, so none can be forgotten.
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple


class Topic(NamedTuple):
    """A page: its title, what it is about, the modules of `goes_lite` whose public names it shows."""

    title: str
    about: str
    modules: tuple[str, ...]
    blocking: tuple[str, ...] = ()
    """Names of `goes_lite.blocking` other than `BlockingX` for an `X` of the page."""


TOPICS = {
    "database": Topic(
        "connect and Database",
        "How a program opens a store, and what it does with it.",
        ("database", "database.connect"),
        ("connect",),
    ),
    "events": Topic(
        "Events and queries",
        "What is recorded, how types are registered, and what can be asked of a log.",
        ("events.event", "events.fields", "events.ids", "events.query", "events.registry", "events.context"),
    ),
    "event-store": Topic(
        "Event store", "`db.events`: append, load, query and follow.", ("contract.event_store", "contract.commits")
    ),
    "aggregates": Topic("Aggregates", "Classes whose state is the sum of their events.", ("aggregate",)),
    "repositories": Topic(
        "Repositories and decisions",
        "Loading, deciding and saving; snapshots; decisions across aggregates.",
        ("repository", "repository.decision", "repository.schedule", "contract.snapshot_store"),
    ),
    "transactions": Topic("Transactions", "What commits together.", ("contract.backend",)),
    "models": Topic(
        "Read models", "Documents by id, under optimistic concurrency.", ("contract.models", "contract.model_store")
    ),
    "projections": Topic(
        "Projections",
        "Events into read models; lookups.",
        ("projection", "projection.lookup"),
        ("BlockingBoundLookup",),
    ),
    "processors": Topic(
        "Processors", "Named, durable consumers of the log.", ("processor", "runtime.backoff", "contract.checkpoints")
    ),
    "commands": Topic(
        "Commands", "Requests as values, brought to their handlers.", ("commands", "commands.decider", "events.outcome")
    ),
    "workflows": Topic("Workflows", "Processes over many aggregates.", ("workflow",)),
    "bus": Topic(
        "Buses",
        "How events reach subscribers, in this process and others.",
        ("contract.event_bus",),
        ("BlockingHandling",),
    ),
    "operations": Topic(
        "Operations", "What is done with a whole store.", ("operations", "blocking.operations"), ("BlockingView",)
    ),
    "codecs": Topic("Codecs", "Values and bytes.", ("codec",)),
    "testing": Topic("Testing", "Tools for tests of programs that use goes_lite.", ("testing",)),
    "errors": Topic("Errors", "Every error that goes_lite raises on purpose.", ("errors",)),
}
ENTIRE = ("commands", "workflow", "processor", "projection", "repository", "operations", "codec", "testing", "errors")
"""Packages of which all names are shown, also those that `goes_lite` itself does not have."""


def names() -> dict[str, list[str]]:
    """Return the dotted public names of each topic, on the first page those that none has; LookupError for one that two have."""
    goes_lite = import_module("goes_lite")
    blocking = import_module("goes_lite.blocking")
    homes: dict[str, tuple[str, ...]] = goes_lite._MODULES
    pages: dict[str, list[str]] = {}
    for slug, topic in TOPICS.items():
        shown: list[str] = []
        for module in topic.modules:
            own = [f"goes_lite.{name}" for name in homes.get(module, ())]
            if module in (*ENTIRE, "blocking.operations"):
                prefix = f"goes_lite.{module}"
                there: list[str] = import_module(prefix).__all__
                own += [f"{prefix}.{name}" for name in there if f"goes_lite.{name}" not in own]
            shown += own
        forms = [f"Blocking{name.rpartition('.')[2]}" for name in shown]
        shown += [f"goes_lite.blocking.{name}" for name in (*topic.blocking, *forms) if name in blocking.__all__]
        pages[slug] = [*dict.fromkeys(shown)]
    everything = [name for shown in pages.values() for name in shown]
    public = {
        *(f"goes_lite.{name}" for name in goes_lite.__all__ if name not in ("blocking", "errors")),
        *(f"goes_lite.blocking.{name}" for name in blocking.__all__),
    }
    pages["database"] += sorted(public - {*everything})
    if twice := {name for name in everything if everything.count(name) > 1}:
        raise LookupError(f"two topics of .ci/docs_api.py have {', '.join(sorted(twice))}")
    return pages


def pages() -> dict[str, str]:
    """Return the pages by their place on the site."""
    shown = names()
    rows = "\n".join(f"| [{topic.title}]({slug}.md) | {topic.about} |" for slug, topic in TOPICS.items())
    index = (
        "# API reference\n\nEvery public name, with what its docstring promises. `help()` shows the same in a Python prompt.\n"
        "What programs with an event loop `await`, the classes and functions of `goes_lite.blocking` return at once; each is\n"
        f"shown after its async form.\n\n| Page | What it has |\n|---|---|\n{rows}\n"
    )
    found = {"api/index.md": index}
    for slug, topic in TOPICS.items():
        blocks = "\n\n".join(f"::: {name}" for name in shown[slug])
        found[f"api/{slug}.md"] = f"# {topic.title}\n\n{topic.about}\n\n{blocks}\n"
    return found
