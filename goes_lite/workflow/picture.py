"""Pictures of a definition: what it reacts to and what it may do, as text and as a Mermaid flowchart.

The effects of a reaction are code. They are read from its source, as far as that is there: each call of an effect, with the type
of its command or event or the name of its timer if it is written right there. Of a workflow that is a function, they are what it
calls of its flow, in the order of its lines.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from goes_lite.errors import RegistrationError
from goes_lite.workflow.definition import Workflow
from goes_lite.workflow.effects import EFFECTS
from goes_lite.workflow.marks import DONE, REACTS, REJECTED, STARTS, TIMERS

_INPUTS = ((STARTS, "starts with"), (REACTS, "reacts to"), (DONE, "done:"), (REJECTED, "rejected:"), (TIMERS, "timer"))
_NAMES = {kind.__name__ for kind in EFFECTS}


class Reaction(NamedTuple):
    """A method of a workflow."""

    method: str
    inputs: tuple[tuple[str, str], ...]
    """What it is called with: how it is marked, and the name of the event, command or timer."""
    effects: tuple[tuple[str, str], ...]
    """What it may return: the kind of effect, and the name of the command, event or timer, if that is known."""


def reactions_of(workflow: Workflow[Any]) -> list[Reaction]:
    """Return the reactions of a workflow, in the order of its class. RegistrationError for anything else."""
    if not isinstance(workflow, Workflow):
        raise RegistrationError(f"a picture shows an instance of a Workflow subclass, not {workflow!r:.80}")
    inputs: dict[str, list[tuple[str, str]]] = {}
    for mark, label in _INPUTS:
        for kind, marked in workflow._marked[mark].items():
            inputs.setdefault(marked.attribute, []).append((label, _name(kind)))
    function: Any = getattr(workflow, "function", None)
    if function is not None:
        (told,) = inputs.values()
        of = tuple(one for one in told if one[0] == "starts with")
        return [Reaction(getattr(function, "__name__", workflow.name), of, tuple(_calls(function)))]
    found = [
        Reaction(method, tuple(of), tuple(_effects(getattr(type(workflow), method)))) for method, of in inputs.items()
    ]
    return sorted(found, key=lambda one: [*vars(type(workflow)), one.method].index(one.method))


def text_of(workflow: Workflow[Any]) -> str:
    """Return what a workflow reacts to and what it may do, as lines of text."""
    lines = [f"{workflow.name}, version {workflow.version}"]
    for one in reactions_of(workflow):
        lines.append(f"  {', '.join(f'{label} {name}' for label, name in one.inputs)}")
        lines += [f"    -> {effect}{' ' + name if name else ''}" for effect, name in one.effects] or [
            "    -> nothing that its source shows"
        ]
    return "\n".join(lines) + "\n"


def mermaid_of(workflow: Workflow[Any]) -> str:
    """Return a Mermaid flowchart of a workflow, which GitHub and many editors draw.

    Arrows lead from inputs to reactions, and from these to what they do; a dotted one leads from a command or timer to what
    follows from it.
    """
    nodes: dict[tuple[str, str], str] = {}
    lines: list[str] = []

    def node(kind: str, name: str) -> str:
        if (kind, name) not in nodes:
            nodes[kind, name] = f"n{len(nodes)}"
            left, right = _SHAPES.get(kind, ("[", "]"))
            shown = name or kind
            lines.append(f'    {nodes[kind, name]}{left}"{_escaped(shown)}"{right}')
        return nodes[kind, name]

    links: list[str] = []
    for one in reactions_of(workflow):
        reaction = node("reaction", one.method)
        for label, name in one.inputs:
            match label:
                case "timer":
                    links.append(f"    {node('timer', name)} -.->|fires| {reaction}")
                case "done:" | "rejected:":
                    links.append(f"    {node('command', name)} -.->|{label.rstrip(':')}| {reaction}")
                case _:
                    links.append(f"    {node('event', name)} -->|{label.partition(' ')[0]}| {reaction}")
        for effect, name in one.effects:
            verb = _VERBS.get(effect, "")
            arrow = f"-->|{verb}|" if verb else "-->"
            links.append(f"    {reaction} {arrow} {node(_KINDS.get(effect, effect), name)}")
            if effect in _STEPS:
                reaction = node(_KINDS.get(effect, effect), name)
    return "\n".join(["flowchart LR", *lines, *dict.fromkeys(links)]) + "\n"


_STEPS = ("step", "command", "wait_for", "sleep")
"""What a function does one after the other."""
_SHAPES = {
    "event": ("([", "])"), "timer": ("{{", "}}"), "sleep": ("{{", "}}"), "command": ("[/", "/]"),
    "Complete": ("((", "))"), "Fail": ("((", "))"), "Compensate": ("((", "))"), "fail": ("((", "))"), "compensate": ("((", "))"),
}  # fmt: skip
_KINDS = {
    "Dispatch": "command", "Undo": "command", "SetTimer": "timer", "CancelTimer": "timer", "Publish": "event",
    "wait_for": "event", "undo": "command", "publish": "event",
}  # fmt: skip
_VERBS = {
    "Dispatch": "dispatches", "Undo": "undone by", "SetTimer": "sets", "CancelTimer": "cancels", "Publish": "publishes",
    "wait_for": "waits for", "undo": "undone by", "publish": "publishes",
}  # fmt: skip


def _name(kind: Any) -> str:
    return kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))


def _escaped(text: str) -> str:
    return "".join(char if char.isalnum() or char in " ._-:/" else f"#{ord(char)};" for char in text)


def _effects(method: Callable[..., object]) -> Iterator[tuple[str, str]]:
    """Return the effects that a method makes, each once."""
    found = ((name, call) for name, call in _called_in(method) if name in _NAMES)
    yield from dict.fromkeys((name, "" if name in ("Compensate", "Fail") else _first(call)) for name, call in found)


def _calls(function: Callable[..., object]) -> Iterator[tuple[str, str]]:
    """Return what a function calls of its flow, in the order of its lines."""
    flow = next(iter(inspect.signature(function).parameters), "")
    for name, call in _called_in(function):
        of = call.func.value if isinstance(call.func, ast.Attribute) else None
        if isinstance(of, ast.Name) and of.id == flow and name not in ("all", "any", "id", "now", "changed"):
            named = [keyword.value for keyword in call.keywords if keyword.arg == "name"]
            literal = named[0].value if named and isinstance(named[0], ast.Constant) else None
            hidden = name in ("sleep", "fail", "compensate")
            yield name, str(literal) if literal is not None else "" if hidden else _first(call)


def _called_in(function: Callable[..., object]) -> list[tuple[str, ast.Call]]:
    """Return the calls in the source of a function, in its order; none if there is no source, as in a console."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return []
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [(_called(call), call) for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset))]


def _first(call: ast.Call) -> str:
    """Return the name of the first argument: of the type that is created there, or the text."""
    match call.args[0] if call.args else None:
        case ast.Call() as made:
            return _called(made)
        case ast.Constant(value=str() as text):
            return text
        case ast.Name(id=name):
            return name
        case _:
            return ""


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""
