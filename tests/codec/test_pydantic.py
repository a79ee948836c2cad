"""Models of pydantic as events and inside of them: strict, validated, and the same JSON from both implementations."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple, TypeVar, cast
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import goes_lite as goes
from goes_lite.codec import Codec, StdlibJson
from goes_lite.codec import codec as find_codec
from goes_lite.errors import DecodeError, EncodeError, RegistrationError
from goes_lite.events.registry import Registry
from tests.codec.codec_kit import decode, encode, needs_msgspec
from tests.codec.codec_strategies import (
    SCALARS,
    Typed,
    containers,
    decimals,
    integers,
    outcome,
    plain,
    same,
    slow_data,
    text,
)

pytest.importorskip("pydantic", reason="pydantic is not installed")

import pydantic
import typing_extensions
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PrivateAttr, RootModel
from pydantic.dataclasses import dataclass as pydantic_dataclass

T = TypeVar("T")


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Corner(NamedTuple):
    x: float
    y: float = 0.0


@dataclass(frozen=True)
class Line:
    sku: str
    price: Decimal
    size: Size = Size.SMALL


class Money(BaseModel, frozen=True):
    cents: Annotated[int, Field(ge=0)]
    currency: str = Field(default="EUR", pattern="^[A-Z]{3}$")


class OrderPlaced(BaseModel):
    id: UUID
    total: Money = Field(alias="theTotal")
    lines: list[Line] = []
    at: datetime | None = None
    tags: set[str] = Field(default_factory=set)
    corner: Corner = Corner(1.5)
    amounts: list[Annotated[int, Field(gt=0)]] = []


@dataclass
class Parcel:
    money: Money
    more: list[Money] = field(default_factory=list[Money])


@pydantic_dataclass(frozen=True)
class Weight:
    grams: Annotated[int, Field(gt=0)]
    label: str = "?"


class Page(BaseModel, Generic[T]):
    items: list[T]


class Node(BaseModel):
    value: int
    children: list[Node] = []


ID = UUID(int=7)
PLACED = OrderPlaced(
    id=ID, theTotal=Money(cents=450), lines=[Line("tea", Decimal("4.50"))], at=datetime(2026, 7, 1, tzinfo=UTC),
    tags={"b", "a"}, amounts=[3],
)  # fmt: skip
TEXT = (
    '{"id":"00000000-0000-0000-0000-000000000007","theTotal":{"cents":450,"currency":"EUR"},'
    '"lines":[{"sku":"tea","price":"4.50","size":"s"}],"at":"2026-07-01T00:00:00Z","tags":["a","b"],'
    '"corner":{"x":1.5,"y":0.0},"amounts":[3]}'
)


def test_a_model_is_written_by_its_aliases_and_read_again(json_codec: Codec) -> None:
    """With dataclasses, tuples and models inside; fields that are missing take their defaults."""
    assert encode(json_codec, OrderPlaced, PLACED) == TEXT
    found = decode(json_codec, OrderPlaced, TEXT)
    assert found == PLACED
    assert (type(found.total), type(found.lines[0])) == (Money, Line)
    least = decode(json_codec, OrderPlaced, f'{{"id":"{ID}","theTotal":{{"cents":0}},"unknown":1}}')
    assert least == OrderPlaced(id=ID, theTotal=Money(cents=0))
    assert least.lines is not decode(json_codec, OrderPlaced, f'{{"id":"{ID}","theTotal":{{"cents":0}}}}').lines


def test_models_inside_of_dataclasses(json_codec: Codec) -> None:
    """And in containers; a dataclass of pydantic is one, too."""
    parcel = Parcel(Money(cents=1), [Money(cents=2, currency="USD")])
    written = encode(json_codec, Parcel, parcel)
    assert written == '{"money":{"cents":1,"currency":"EUR"},"more":[{"cents":2,"currency":"USD"}]}'
    assert decode(json_codec, Parcel, written) == parcel
    weights = {"a": Weight(3)}
    assert encode(json_codec, dict[str, Weight], weights) == '{"a":{"grams":3,"label":"?"}}'
    assert decode(json_codec, dict[str, Weight], '{"a":{"grams":3}}') == weights


def test_generic_and_recursive_models(json_codec: Codec) -> None:
    page, node = Page[Line](items=[Line("a", Decimal(1))]), Node(value=1, children=[Node(value=2)])
    for hint, value in ((Page[Line], page), (Node, node)):
        assert decode(json_codec, hint, encode(json_codec, hint, value)) == value
    with pytest.raises(EncodeError, match=r"^\$\.items\[0\]: expected int, got Line$"):
        encode(json_codec, Page[int], Page[int].model_construct(items=cast(Any, page.items)))


@pytest.mark.parametrize(
    ("hint", "payload", "message"),
    [
        (OrderPlaced, TEXT.replace("450", "-1"), "$.theTotal.cents: Money refused it: Input should be greater than or equal"),
        (OrderPlaced, TEXT.replace("450", '"450"'), "$.theTotal.cents: expected int, got str"),
        (OrderPlaced, TEXT.replace("[3]", "[1,0]"), "$.amounts[1]: OrderPlaced refused it: Input should be greater than 0"),
        (OrderPlaced, TEXT.replace("theTotal", "total"), "$.theTotal: missing, and OrderPlaced has no default for it"),
        (Parcel, '{"money":{"cents":1},"more":[{"cents":-2}]}', "$.more[0].cents: Money refused it: Input should be"),
        (Weight, '{"grams":0}', "$.grams: Weight refused it: Input should be greater than 0"),
        (Weight, '{"grams":true}', "$.grams: expected int, got bool"),
        (Money, '{"cents":1,"currency":"euro"}', "$.currency: Money refused it: String should match pattern"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_path(json_codec: Codec, hint: Any, payload: str, message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(json_codec, hint, payload)
    assert str(caught.value).startswith(message)


def test_a_value_that_could_not_be_read_back_is_not_written(json_codec: Codec) -> None:
    """pydantic does not look at assignments unless told; neither a wrong type nor a broken constraint is stored."""
    weight = PLACED.model_copy(deep=True)
    weight.amounts.append(-5)
    with pytest.raises(
        EncodeError, match=r"^\$\.amounts\[1\]: cannot be read back: OrderPlaced refused it: Input should"
    ):
        encode(json_codec, OrderPlaced, weight)
    weight.amounts = cast(Any, ["5"])
    with pytest.raises(EncodeError, match=r"^\$\.amounts\[0\]: expected int, got str$"):
        encode(json_codec, OrderPlaced, weight)
    with pytest.raises(EncodeError, match=r"^\$\.cents: this field of Money was never set$"):
        encode(json_codec, Money, Money.model_construct(currency="EUR"))


def test_validators_run_again(json_codec: Codec) -> None:
    """One that makes another value of it each time cannot be stored."""

    class Counted(BaseModel):
        number: Annotated[int, AfterValidator(lambda number: number + 1)]

    class Trimmed(BaseModel):
        model_config = ConfigDict(str_strip_whitespace=True, strict=True, extra="forbid")
        name: str
        when: AwareDatetime | None = None

    assert decode(json_codec, Trimmed, '{"name":" a ","more":1}').name == "a"
    assert encode(json_codec, Trimmed, Trimmed(name=" a ")) == '{"name":"a","when":null}'
    with pytest.raises(EncodeError, match=r"^\$\.number: 2 would be read as 3: "):
        encode(json_codec, Counted, Counted(number=1))


def test_private_attributes_are_made_again(json_codec: Codec) -> None:
    """They are compared by ==, so one with another value is not written."""

    class Cached(BaseModel):
        number: int
        _seen: int = PrivateAttr(0)

        def look(self) -> None:
            self._seen += 1

    cached = Cached(number=1)
    assert decode(json_codec, Cached, encode(json_codec, Cached, cached)) == cached
    cached.look()
    with pytest.raises(EncodeError, match=r"^\$\._seen: 1 would be read as 0: .*private attribute"):
        encode(json_codec, Cached, cached)


class Open(BaseModel, extra="allow"):
    number: int


class Numbers(RootModel[list[int]]):
    pass


class Two(BaseModel):
    a: int = Field(alias="x")
    x: int


class Future(BaseModel):
    on: pydantic.FutureDate


class Secret(BaseModel):
    key: pydantic.SecretStr


@pydantic_dataclass
class Price:
    net: int
    vat: InitVar[int] = 19


@pytest.mark.parametrize(
    ("hint", "message"),
    [
        (Open, "Open: extra='allow' keeps values that no field describes"),
        (Numbers, "Numbers: a RootModel has no fields"),
        (Two, "Two: two fields have the alias 'x'"),
        (Future, "Future.on: FutureDate is not supported"),
        (Secret, "Secret.key: SecretStr is not supported"),
        (Price, "Price.vat: an InitVar is not kept by the instance"),
        (Money | Weight, "is ambiguous"),
    ],
)
def test_models_that_would_lose_something_are_refused(json_codec: Codec, hint: Any, message: str) -> None:
    with pytest.raises(RegistrationError, match=message.replace("|", r"\|")):
        json_codec.check(hint)


def test_a_name_that_is_defined_later(json_codec: Codec) -> None:
    """As with dataclasses: registering works, and the first use finds it."""
    module: dict[str, Any] = {"BaseModel": BaseModel, "__name__": "later_on"}
    exec("class First(BaseModel):\n    then: 'list[Second]' = []\n", module)
    json_codec.check(module["First"])
    with pytest.raises(RegistrationError, match="cannot be resolved"):
        json_codec.encoder(module["First"])


LATER = """
from __future__ import annotations
import pydantic, pydantic.dataclasses as pd
{decorated}
class First{base}:
    then: Second
{decorated}
class Second{base}:
    number: int
"""


@pytest.mark.parametrize("config", ["{}", "{'defer_build': True}"])
@pytest.mark.parametrize("base", ["", "(pydantic.BaseModel)"])
def test_a_process_that_only_reads_finds_a_class_that_was_defined_later(
    json_codec: Codec, config: str, base: str
) -> None:
    """As long as no instance was made, pydantic has not looked for it."""
    module: Any = ModuleType("defined_later")
    decorated = "" if base else f"@pd.dataclass(config={config})"
    sys.modules[module.__name__] = module
    try:
        exec(LATER.format(base=base.replace(")", f", **{config})"), decorated=decorated), module.__dict__)
        assert decode(json_codec, module.First, '{"then":{"number":1}}').then.number == 1
    finally:
        del sys.modules[module.__name__]


if TYPE_CHECKING:
    from collections import OrderedDict as Client


class Options(typing_extensions.TypedDict):
    a: int
    b: typing_extensions.NotRequired[int]


class Connected(BaseModel):
    number: int
    _client: Client[str, str] | None = PrivateAttr(default=None)


def test_only_the_annotation_of_a_private_attribute_has_to_be_known(json_codec: Codec) -> None:
    """Of others pydantic knows more: those of a function, for example."""

    class Inner(BaseModel):
        number: int

    class Outer(BaseModel):
        inner: Inner
        _seen: int = PrivateAttr(0)

    outer = Outer(inner=Inner(number=1))
    assert decode(json_codec, Outer, encode(json_codec, Outer, outer)) == outer
    json_codec.check(Connected)
    with pytest.raises(RegistrationError, match=r"Connected\._client: the annotation 'Client' cannot be resolved"):
        json_codec.encoder(Connected)


def test_a_typed_dict_as_pydantic_asks_for_it(json_codec: Codec) -> None:
    """Before Python 3.12 it takes that of typing_extensions only."""

    class Basket(BaseModel):
        options: Options

    basket = Basket(options={"a": 1})
    assert encode(json_codec, Basket, basket) == '{"options":{"a":1}}'
    assert decode(json_codec, Basket, '{"options":{"a":1}}') == basket
    assert decode(json_codec, Options, '{"a":1}') == {"a": 1}
    registry = Registry()
    registry.register("chosen", Options)
    assert registry.capture({"a": 1}, "chosen")[2].payload == '{"a":1}'


def test_what_pydantic_refuses_is_named_by_its_stored_key(json_codec: Codec) -> None:
    class Short(BaseModel):
        number: int = Field(alias="theNumber", ge=0)

    with pytest.raises(DecodeError, match=r"^\$\.theNumber: Short refused it"):
        decode(json_codec, Short, '{"theNumber":-1}')


def test_as_events_and_commands() -> None:
    """A frozen model is shared, another is copied when it is captured; upcasters and msgpack work."""
    registry = Registry()
    registry.event("placed", schema=2)(OrderPlaced)
    registry.commands.event("money")(Money)

    @registry.upcast("placed", 1)
    def _renamed(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "theTotal": {"cents": data["cents"]}}

    name, data, encoded = registry.capture(PLACED)
    assert (name, data == PLACED, data is PLACED, encoded.payload) == ("placed", True, False, TEXT)
    old = registry.decode("placed", "json", 1, f'{{"id":"{ID}","cents":9}}')
    assert isinstance(old, OrderPlaced)
    assert old.total == Money(cents=9)
    money = Money(cents=3)
    assert registry.commands.capture(money)[1] is money
    if find_spec("msgspec"):
        codec = find_codec("msgpack")
        assert decode(codec, OrderPlaced, encode(codec, OrderPlaced, PLACED)) == PLACED


class Balance(BaseModel):
    cents: int = 0
    last: Money | None = None


class Pay(BaseModel):
    account: str
    money: Money


pay_registry = Registry()
pay_registry.event("paid")(Money)
pay_registry.commands.event("pay")(Pay)


class Account(goes.Aggregate, name="account", registry=pay_registry):
    balance: int = 0

    @goes.handles(Pay, id="account", create=True)
    def pay(self, command: Pay) -> int:
        self.record(command.money)
        return self.balance

    @goes.applies(Money)
    def _paid(self, event: goes.Event[Money]) -> None:
        self.balance += event.data.cents


class Balances(goes.ModelProjection[Balance], name="balances"):
    @goes.projects(Money)
    def paid(self, balance: Balance, event: goes.Event[Money]) -> None:
        balance.cents += event.data.cents
        balance.last = event.data


def test_a_program_of_models() -> None:
    """Commands, events and read models, which can be queried by their fields."""
    with goes.blocking.connect(":memory:", registry=pay_registry) as db:
        db.commands.serve(Account)
        for account, cents in (("a", 3), ("b", 4), ("a", 5)):
            db.commands.dispatch(Pay(account=account, money=Money(cents=cents)), id=f"{account}-{cents}")
        db.projection(Balances()).catch_up()
        balances = db.models_of("balances", Balance)
        assert [balance.cents for balance in balances.query(order_by="cents")] == [4, 8]
        assert balances.query(where={"last.cents": 5}).list() == [Balance(cents=8, last=Money(cents=5))]
        id = db.commands.dispatch_async(Pay(account="a", money=Money(cents=1)))
        with db.commands.worker():
            assert db.commands.outcome(id, timeout=60) == 9


def test_an_id_that_a_model_does_not_have() -> None:
    """BaseModel has a __getattr__, which finds private attributes only."""

    class Misspelt(goes.Aggregate, name="misspelt", registry=pay_registry):
        @goes.handles(Pay, id="acount")
        def pay(self, command: Pay) -> None: ...

    with (
        goes.blocking.connect(":memory:", registry=pay_registry) as db,
        pytest.raises(RegistrationError, match="Pay has no 'acount' to tell its aggregate; it has account, money"),
    ):
        db.commands.serve(Misspelt)


def test_nothing_imports_pydantic() -> None:
    """Not even a program that registers other types."""
    code = (
        "import sys, dataclasses, goes_lite as goes\n"
        "@goes.event('e')\n@dataclasses.dataclass\nclass E:\n    n: int\n"
        "with goes.blocking.connect(':memory:') as db:\n    db.events.append([goes.Event(E(1))])\n"
        "print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# --- generated models -------------------------------------------------------------------------------------------------


@st.composite
def models_of(draw: st.DrawFn, inner: st.SearchStrategy[Typed]) -> Typed:
    names = draw(
        st.lists(st.sampled_from(["a", "b_", "name", "type", "self", "value", "v", "x0"]), min_size=1, unique=True)
    )
    typed = {name: draw(inner) for name in names}
    aliased = draw(st.sets(st.sampled_from(names)))
    fields: dict[str, Any] = {
        name: (hint, Field(alias=f"{name}-é") if name in aliased else ...) for name, (hint, _) in typed.items()
    }
    create = cast("Callable[..., type[BaseModel]]", pydantic.create_model)
    try:
        made = create("Made", __config__=ConfigDict(frozen=draw(st.booleans()), populate_by_name=True), **fields)
    except pydantic.errors.PydanticUserError:  # a TypedDict of typing, before Python 3.12
        return draw(inner)
    values = st.fixed_dictionaries({name: values for name, (_, values) in typed.items()})
    return made, values.map(lambda drawn: made(**drawn))


simple = st.sampled_from(
    [one for one in SCALARS if one[0] in (str, int, float, bool, bytes, UUID, date, Decimal, Size)]
)
modelled = st.recursive(
    simple, lambda inner: st.one_of(models_of(inner), models_of(inner), containers(inner)), max_leaves=5
)


@st.composite
def model_values(draw: st.DrawFn) -> tuple[Any, Any]:
    hint, values = draw(models_of(modelled))
    return hint, draw(values)


once = settings(deadline=None, suppress_health_check=slow_data)


@needs_msgspec
@once
@given(model_values(), st.one_of(plain.map(json.dumps), model_values()))
def test_generated_models(typed: tuple[Any, Any], other: Any) -> None:
    """Both implementations write the same bytes and read the same values, or refuse both with the same words."""
    from goes_lite.codec import MsgspecJson

    hint, value = typed
    stdlib, fast = StdlibJson(), MsgspecJson()
    written = stdlib.encoder(hint)(value)
    assert written == fast.encoder(hint)(value)
    assert same(value, stdlib.decoder(hint)(written))
    assert same(value, fast.decoder(hint)(written))
    payload = other if isinstance(other, str) else stdlib.encoder(other[0])(other[1])
    assert same(outcome(stdlib.decoder(hint), payload), outcome(fast.decoder(hint), payload))


@once
@given(integers, decimals, text)
def test_constraints_hold_on_both_sides(cents: int, price: Decimal, currency: str) -> None:
    """What pydantic accepts is stored and read; what it refuses can neither be made nor read."""
    payload = json.dumps({"cents": cents, "currency": currency})
    try:
        money = Money(cents=cents, currency=currency)
    except pydantic.ValidationError:
        with pytest.raises(DecodeError, match=r"^\$\.(cents|currency): Money refused it: "):
            StdlibJson().decoder(Money)(payload)
    else:
        assert StdlibJson().decoder(Money)(payload) == money
    line = Line("x", price)
    assert same(
        StdlibJson().decoder(Page[Line])(StdlibJson().encoder(Page[Line])(Page[Line](items=[line]))).items, [line]
    )
