"""What a projection class says, and what is refused of it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import new_class
from typing import Any, Generic, TypeVar, cast

import pytest

import goes_lite as goes
from goes_lite.errors import (
    AbilityMissing,
    ConfigError,
    InvalidQueryError,
    RegistrationError,
    UnregisteredTypeError,
)
from tests.conftest_kit import SQLitePlace
from tests.projection.projection_kit import Amount, Bill, Bills, Days, Paid, Placed, event, registry

T = TypeVar("T")


def made(body: dict[str, Any], *bases: Any, **arguments: Any) -> Any:
    """A class statement whose parts a test puts together."""
    return new_class("Bad", bases or (goes.Projection,), arguments, lambda space: space.update(body))


def method(*kinds: Any, **options: Any) -> Callable[..., Any]:
    """A method that is marked with events, and does nothing."""

    @goes.projects(*kinds, **options)
    def handle(self: Any, *args: Any) -> None: ...

    return handle


def names(projection: goes.Projection) -> list[str]:
    return sorted(projection.methods(registry))


# --- names and versions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "two words", "star*", 5, "x" * 250, "a\0b"])
def test_a_name_that_cannot_be_one(name: Any) -> None:
    with pytest.raises(RegistrationError, match="the name of a projection"):
        made({}, name=name)


def test_the_longest_name_can_be_rebuilt() -> None:
    """It is part of other names in the store, so it is shorter than other names may be."""
    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        longest = "n" * 187
        with pytest.raises(RegistrationError, match="at most 187 bytes"):
            made({}, name=f"{longest}x")
        projection = made({"placed": method(Placed)}, goes.ModelProjection[Bill], name=longest)()
        assert db.projection(projection).rebuild().switched


@pytest.mark.parametrize("version", [0, -1, True, "2", 1.0])
def test_a_version_that_cannot_be_one(version: Any) -> None:
    with pytest.raises(RegistrationError, match="a version must be an int ≥ 1"):
        made({}, name="x", version=version)


def test_a_subclass_keeps_what_it_does_not_say() -> None:
    """Name, version, collection and the type of the read models are as its base has them."""

    class Base(goes.ModelProjection[Bill], name="base", version=3, collection="kept"):
        pass

    class Sub(Base):
        placed = method(Placed)

    assert (Sub.name, Sub.version, Sub.collection, Sub.model) == ("base", 3, "kept", Bill)
    assert repr(Sub()) == "<Sub 'base', version 3>"


@pytest.mark.parametrize("run", ["projection", "inline", "live"])
def test_a_projection_without_a_name_or_methods(run: str) -> None:
    """A class that is only a base of others needs neither; one that is run needs both."""
    nameless = made({"placed": method(Placed)}, goes.ModelProjection[Bill])
    idle = made({}, goes.ModelProjection[Bill], name="idle")
    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        with pytest.raises(RegistrationError, match="Bad has no name"):
            getattr(db, run)(nameless())
        with pytest.raises(RegistrationError, match="Bad handles no event"):
            getattr(db, run)(idle())


# --- methods ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [5, "text", staticmethod(print), Bill])
def test_what_is_decorated_is_a_function(bad: Any) -> None:
    with pytest.raises(RegistrationError, match="decorates a method"):
        goes.projects(Placed)(bad)


def test_a_method_with_other_arguments() -> None:
    """It is refused where it is decorated: it could never be called."""

    def placed(self: Any, event: Any) -> None: ...

    with pytest.raises(
        RegistrationError, match=r"placed\(\) is called with .*: write @projects\(…\) above def placed\(self"
    ):
        goes.projects("order.placed")(placed)


def test_the_decorator_needs_events() -> None:
    def placed(self: Any) -> None: ...

    with pytest.raises(RegistrationError, match="at least one event"):
        cast(Any, goes.projects)()
    with pytest.raises(RegistrationError, match=r"write @projects\(SomeEvent\) above .*placed"):
        goes.projects(cast(Any, placed))
    with pytest.raises(RegistrationError, match="an event name"):
        goes.projects("no name")


def test_a_key_is_a_function() -> None:
    with pytest.raises(RegistrationError, match=r"projects\(key=…\) takes a function of the event, not 'customer'"):
        goes.projects(Placed, key=cast(Any, "customer"))


def test_a_type_that_is_not_registered() -> None:
    """It is found when the projection meets a registry, for only that knows."""
    projection = made({"bill": method(Bill)}, name="x")()

    with pytest.raises(UnregisteredTypeError, match="Bill"):
        projection.methods(registry)


def test_two_methods_for_one_event() -> None:
    """By the same type, or by a type and its name, or by a name and an alias of it; a subclass has the last word."""
    with pytest.raises(RegistrationError, match=r"handles .*Placed.* twice, in one\(\) and in two\(\)"):
        made({"one": method(Placed), "two": method(Placed)}, name="x")
    for first, second in ((Placed, "shop.placed"), ("shop.placed", "shop.ordered"), ("shop.ordered", Placed)):
        twice = made({"one": method(first), "two": method(second)}, name="x")
        with pytest.raises(
            RegistrationError, match=r"handles 'shop.placed' twice, as .* in one\(\) and as .* in two\(\)"
        ):
            twice().methods(registry)
        base = made({"one": method(first)}, name="x")
        sub = made({"two": method(second)}, base)()
        assert sub.methods(registry) == {"shop.placed": sub.two}


def test_one_method_for_several_events() -> None:
    """In one decorator, or in several above one another."""

    class Both(goes.Projection, name="both"):
        one = method(Placed, "shop.paid")
        two = goes.projects("shop.unknown")(method("shop.cancelled"))

    both = Both()

    assert {name: found.__name__ for name, found in both.methods(registry).items()} == {
        "shop.placed": "handle",
        "shop.paid": "handle",
        "shop.cancelled": "handle",
        "shop.unknown": "handle",
    }
    assert both.query(registry) == goes.EventQuery(["shop.cancelled", "shop.paid", "shop.placed", "shop.unknown"])


def test_a_type_under_several_names_is_all_of_them() -> None:
    projection = made({"amount": method(Amount)}, name="x")()

    assert names(projection) == ["shop.credited", "shop.debited"]
    one = made({"amount": method("shop.debited")}, name="x")()
    assert names(one) == ["shop.debited"]


def test_an_alias_stands_for_the_name_of_today() -> None:
    projection = made({"placed": method("shop.ordered")}, name="x")()

    assert names(projection) == ["shop.placed"]


def test_a_subclass_may_override_methods() -> None:
    """By name, with or without the decorator, or by event."""

    class Base(goes.Projection, name="base"):
        placed = method(Placed)
        paid = method(Paid)

    def plain(self: Any, *args: Any) -> None: ...

    undecorated = made({"placed": plain}, Base)()
    assert undecorated.methods(registry) == {"shop.placed": undecorated.placed, "shop.paid": undecorated.paid}
    moved = made({"placed": method("shop.cancelled")}, Base)()
    assert names(moved) == ["shop.cancelled", "shop.paid"]
    other = made({"another": method(Paid)}, Base)()
    assert other.methods(registry) == {"shop.placed": other.placed, "shop.paid": other.another}


@pytest.mark.parametrize("name", ["create", "clear", "switch", "rows", "query", "name", "suffix"])
def test_a_method_must_not_take_the_name_of_something_else(name: str) -> None:
    """Or the projection would call it for something that it is not."""
    with pytest.raises(RegistrationError, match=f"Bad.{name}: every projection already has a '{name}'"):
        made({name: method(Placed)}, name="x")


@pytest.mark.parametrize("name", ["key", "initial", "place"])
def test_a_method_of_a_model_projection_has_more_names_to_keep_off(name: str) -> None:
    made({name: method(Placed)}, name="x")
    with pytest.raises(RegistrationError, match=f"Bad.{name}: every projection already has a '{name}'"):
        made({name: method(Placed)}, goes.ModelProjection[Bill], name="x")


# --- read models ------------------------------------------------------------------------------------------------------


def test_a_model_projection_says_of_which_type_its_read_models_are() -> None:
    bare = made({"placed": method(Placed)}, goes.ModelProjection, name="x")

    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        with pytest.raises(RegistrationError, match="Bad does not define the type"):
            db.projection(bare())
        with pytest.raises(RegistrationError, match="Bad does not define the type"):
            db.live(bare())


def test_the_type_may_be_left_to_a_subclass() -> None:
    """Also where there are other type parameters, and where it is given as an attribute."""
    other = TypeVar("other")

    class Base(goes.ModelProjection[T], Generic[other, T]):
        pass

    class Middle(Base[int, T], Generic[T]):
        pass

    class Named(Middle[Bill], name="x"):
        pass

    class Given(goes.ModelProjection[Any], name="x"):
        model = Amount

    class Sub(Given):
        pass

    class Listed(goes.ModelProjection[list[T]]):
        pass

    class Numbers(Listed[int], name="y"):
        pass

    assert Numbers.model == list[int]
    assert (Named.model, Given.model, Sub.model) == (Bill, Amount, Amount)
    assert isinstance(Base.model, TypeVar)
    assert Base.model == Middle.model


def test_a_type_that_cannot_be_kept() -> None:
    with goes.blocking.connect("sqlite:///:memory:", registry=registry) as db:
        projection = made({"placed": method(Placed)}, goes.ModelProjection[Callable[[], int]], name="x")
        with pytest.raises(RegistrationError):
            db.projection(projection())


@pytest.mark.parametrize("collection", ["", 5, "a\0b", "x" * 1024])
def test_a_collection_that_cannot_be_one(collection: Any) -> None:
    with pytest.raises(RegistrationError, match="the name of a collection"):
        made({}, goes.ModelProjection[Bill], collection=collection)


def test_methods_of_a_model_projection_are_not_async() -> None:
    """They are functions of values: there is nothing to wait for."""

    @goes.projects(Placed)
    async def placed(self: Any, bill: Bill, event: Any) -> None: ...

    with pytest.raises(RegistrationError, match=r"Bad.placed: a method of a ModelProjection must not be async"):
        made({"placed": placed}, goes.ModelProjection[Bill], name="x")


# --- running it -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [Bills, "bills", None])
async def test_what_is_run_is_an_instance(db: Any, bad: Any) -> None:
    with pytest.raises(ConfigError, match="a projection must be an instance"):
        db.projection(bad)
    with pytest.raises(ConfigError, match="inline\\(\\) takes instances"):
        db.inline(Bills(), bad)
    with pytest.raises(ConfigError, match="live\\(\\) takes a ModelProjection"):
        await db.live(bad)


async def test_options_that_make_no_sense(db: Any) -> None:
    with pytest.raises(ConfigError, match="on_new_version must be one of rebuild, beside, stop, keep, not 'soon'"):
        db.projection(Bills(), on_new_version="soon")
    with pytest.raises(ConfigError, match="batch must be an int ≥ 1"):
        db.projection(Bills(), batch=0)
    with pytest.raises(ConfigError, match="lease must be a number"):
        db.projection(Bills(), lease=0)
    with pytest.raises(ConfigError, match="a query or an aggregate, not both"):
        await db.live(Bills(), goes.EventQuery(), aggregate=("order", "1"))
    with pytest.raises(InvalidQueryError):
        await db.live(Bills(), aggregate="1")


async def test_what_cannot_be_made_anew_is_told_before(db: Any) -> None:
    """Before anything is asked of whoever is active, and before hours are spent on what cannot be switched to."""

    class Bare(goes.Projection, name="bare"):
        placed = method(Placed)

    class Clearable(Bare):
        def clear(self, tx: Any) -> None: ...

    with pytest.raises(RegistrationError, match=r"Bare cannot be rebuilt this way: define clear\(tx\)"):
        await db.projection(Bare()).reset()
    with pytest.raises(RegistrationError, match=r"Bare cannot be rebuilt this way: define clear\(tx\)"):
        await db.projection(Bare()).rebuild()
    with pytest.raises(RegistrationError, match=r"Clearable cannot be rebuilt this way: define switch\(tx\)"):
        await db.projection(Clearable()).rebuild()
    with pytest.raises(RegistrationError, match="define switch"):
        db.projection(Clearable(), on_new_version="beside")
    assert await db.models.query("goes:processors").list() == []


def test_a_store_that_is_only_read_projects_nothing(place: SQLitePlace) -> None:
    """AbilityMissing, which says what is missing; folding is reading."""
    with goes.blocking.connect(place.url, registry=registry) as db:
        db.events.append([event(Placed("ann", 5), "1", 1)])
    with goes.blocking.connect(place.url, registry=registry, read_only=True) as db:
        for run in (db.projection, db.inline):
            with pytest.raises(AbilityMissing, match="transactions"):
                run(Days())
        assert db.live(Bills()) == {"1": Bill(5)}


def test_a_backend_without_transactions(tmp_path: Path) -> None:
    """AbilityMissing for what has to commit together; folding needs no transaction."""
    example = Path(__file__).resolve().parents[2] / "examples" / "custom_backend.py"
    if "custom_backend" not in sys.modules:
        spec = importlib.util.spec_from_file_location("custom_backend", example)
        assert spec is not None
        assert spec.loader is not None
        sys.modules["custom_backend"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["custom_backend"])
    with goes.blocking.connect(f"journal:///{tmp_path}/app.journal", registry=registry) as db:
        db.events.append([event(Placed("ann", 5), "1", 1)])
        for run in (db.projection, db.inline):
            with pytest.raises(AbilityMissing, match="transactions"):
                run(Bills())
        assert db.live(Bills()) == {"1": Bill(5)}
