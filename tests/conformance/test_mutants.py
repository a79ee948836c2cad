"""The suites, tested: each broken backend is found out, by the rules that are about its fault, and a sound one is not."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

import goes_lite_conformance as suites
import pytest
from goes_lite_conformance import Contract, Storage
from goes_lite_conformance.chaos import register_wrapped
from goes_lite_conformance.harness import contract, place
from goes_lite_conformance.harness.contract import declared_by
from goes_lite_conformance.harness.place import Place

from goes_lite.contract.wrapping import WrappedBackend, WrappedStore
from tests import shares
from tests.conformance import (
    backend_mutants,
    event_mutants,
    fence_mutants,
    import_mutants,
    model_mutants,
    processor_mutants,
)
from tests.conformance.mutants import MUTANTS

MUTATED = (backend_mutants, event_mutants, fence_mutants, import_mutants, model_mutants, processor_mutants)
"""Modules that register their mutants when they are imported."""

pytestmark = pytest.mark.once

for name, (wrap, _) in MUTANTS.items():
    register_wrapped(name.lower(), wrap)
register_wrapped("sound", lambda backend: WrappedBackend(backend, WrappedStore))


class Mutated(Contract):
    """A mutant in a file; `Storage.variant` is its name."""

    variants: ClassVar = tuple(MUTANTS)

    def url(self, storage: Storage) -> str:
        return f"{storage.variant.lower()}+sqlite:///{storage.folder}/app.db"


class Sound(Contract):
    """The same wrapping, with nothing wrong."""

    def url(self, storage: Storage) -> str:
        return f"sound+sqlite:///{storage.folder}/app.db"


SUITES: tuple[type[Contract], ...] = (
    suites.EventStoreTests,
    suites.SnapshotStoreTests,
    suites.ModelStoreTests,
    suites.CheckpointAndLeaseTests,
    suites.EventBusTests,
    suites.BackendTests,
    suites.ProcessorTests,
    suites.WorkflowTests,
    suites.ConcurrencyTests,
    suites.CrashTests,
)
RULES = {rule.id: (suite, name) for suite in SUITES for name, rule in suites.rules_of(suite).items()}


def fault(hook: type[Contract], variant: str, rule: str) -> BaseException | None:
    """What a rule finds wrong with a backend, None if nothing."""
    suite, name = RULES[rule]
    test = getattr(suite, name)
    faces = getattr(test, "faces", hook.faces)
    with tempfile.TemporaryDirectory(prefix="goes-", ignore_cleanup_errors=True) as folder:
        storage = Storage.fresh(Path(folder), variant)
        place = Place(hook(), storage, faces[0], declared_by(hook, variant), 1)
        try:
            test(suite(), place, **_first_case(test))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return error
        finally:
            place.end()
            backend_mutants.let_go()
    return None


def _first_case(test: Any) -> dict[str, Any]:
    """The arguments of the first case of a rule that has several."""
    cases: dict[str, Any] = {}
    for mark in getattr(test, "pytestmark", ()):
        if mark.name == "parametrize":
            names = (
                [name.strip() for name in mark.args[0].split(",")] if isinstance(mark.args[0], str) else mark.args[0]
            )
            first = mark.args[1][0]
            values = getattr(first, "values", (first,) if len(names) == 1 else first)
            cases.update(zip(names, values, strict=True))
    return cases


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant that sleeps for ever is found out sooner than a slow backend would deserve."""
    monkeypatch.setattr(place, "PATIENCE", 1.0)
    monkeypatch.setattr(contract, "PATIENCE", 6.0)


@pytest.mark.usefixtures("impatience")
@pytest.mark.parametrize("mutant", MUTANTS)
def test_it_is_found_out(mutant: str, share: int | None) -> None:
    """By each of the rules that are about its fault, and by what the rule asserts: not by an accident on the way."""
    killers = MUTANTS[mutant].killers
    if share is not None:
        killers = tuple(killer for (killer,) in shares.choose(mutant, [(killer,) for killer in killers], share))
    for killer in killers:
        error = fault(Mutated, mutant, killer)
        assert error is not None, f"{mutant} passes {killer}"
        assert any(note.startswith(killer) for note in error.__notes__)
        assert not isinstance(error, (TypeError, AttributeError, NameError)), (
            f"{mutant} is broken in another way: {error!r}"
        )


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_wrapping_alone_does_no_harm(mutant: str, share: int | None) -> None:
    if share is not None and not shares.has_turn(mutant, ["Sound"], share):
        return
    for killer in MUTANTS[mutant].killers:
        error = fault(Sound, "", killer)
        assert error is None, repr(error)


def test_there_are_enough_of_them() -> None:
    """Each with a rule that finds it, spread over all suites."""
    assert len(MUTANTS) >= 15
    assert all(mutant.killers for mutant in MUTANTS.values())
    judged = {RULES[killer][0] for mutant in MUTANTS.values() for killer in mutant.killers}
    assert judged == set(SUITES)
