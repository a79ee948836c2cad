"""Keep the signatures and docstrings of the blocking face equal to those of the async one, without `await`.

    python .ci/blocking.py            rewrite them in goes_lite/blocking/
    python .ci/blocking.py --check    fail if a file differs from what would be written

A class `BlockingX` follows the class `X` that its module imports. Each of its public methods takes over the parameters and
the docstring of the method of that name; if `X` is a protocol, missing methods are added. A public function follows the one of
that name in the module of that name outside of `blocking`, and takes a `BlockingDatabase` where that one takes a backend.
Bodies stay as they are, because readers should see the forwarding code. Needs ruff, which formats the result.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BLOCKING = ROOT / "goes_lite" / "blocking"

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

SPELLED = {"__aenter__": "__enter__", "__aexit__": "__exit__", "aclose": "close"}
"""Methods whose names differ on the blocking face."""

TYPES = {
    name: f"Blocking{name}"
    for name in (
        "CommandBus", "CommandService", "CommandWorker", "Database", "Delivery", "EventBus", "EventStore", "Handling",
        "Models", "Pages",
        "Processor", "ProjectionProcessor", "WorkflowProcessor", "Workflows", "Repository", "Subscription", "Transaction",
        "BoundLookup", "View",
    )
} | {"AbstractAsyncContextManager": "AbstractContextManager", "Decided": "Iterable[Event[Any]]"}  # fmt: skip

BACKENDS = dict.fromkeys(("Backend", "Handle"), "BlockingDatabase")
"""What functions take on the async face, and on this one."""

WORDS = [
    (r"\bawait (?=[\w.]+[(.])", ""),
    (r"\basync (with|for|def)\b", r"\1"),
    (r"An async iterator", "An iterator"),
    (r" It may be a coroutine function\.", ""),
    (r"Await the action\b", "Call the action"),
    (r"a function or a coroutine function", "a function"),
    (r", or a coroutine that returns them", ""),
    (r"\bgoes\.connect\(", "goes.blocking.connect("),
    (r"contextlib\.aclosing", "contextlib.closing"),
    (r"Do not share it between tasks", "Do not share it between threads"),
    (r"Several tasks or threads", "Several threads"),
]
"""Wording that differs without an event loop."""


@cache
def tree_of(module: str) -> ast.Module:
    """Parse a module of goes_lite."""
    path = ROOT / module.replace(".", "/")
    return ast.parse(((path / "__init__.py") if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8"))


def find(
    module: str, name: str, kind: type[Definition] | tuple[type[Definition], ...] = ast.ClassDef
) -> tuple[str, Definition] | None:
    """Find what a name means in a module, and the module that defines it; None if it is not in goes_lite."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, kind) and node.name == name:
            return module, node
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("goes_lite"):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return find(node.module, alias.name, kind)
    return None


def lineage(module: str, name: str) -> list[tuple[str, ast.ClassDef]]:
    """Return a class and its bases, nearest first."""
    found = find(module, name)
    if found is None or not isinstance(found[1], ast.ClassDef):
        return []
    bases = [base.value if isinstance(base, ast.Subscript) else base for base in found[1].bases]
    return [
        (found[0], found[1]),
        *(one for base in bases if isinstance(base, ast.Name) for one in lineage(found[0], base.id)),
    ]


def members(source: list[tuple[str, ast.ClassDef]]) -> dict[str, tuple[Function | None, str]]:
    """Return the nearest signature and the nearest docstring of each public method, property and attribute."""
    found: dict[str, tuple[Function | None, str]] = {}

    def add(name: str, function: Function | None, text: str | None) -> None:
        known_function, known = found.get(name, (None, ""))
        found[name] = known_function or function, known or text or ""

    for _, cls in source:
        for node in cls.body:
            if isinstance(node, Function) and not any("overload" in ast.unparse(one) for one in node.decorator_list):
                add(SPELLED.get(node.name, node.name), node, ast.get_docstring(node))
        initialiser = next((node for node in cls.body if isinstance(node, Function) and node.name == "__init__"), None)
        for body in (cls.body, initialiser.body if initialiser else []):
            for node, following in zip(body, [*body[1:], None], strict=False):
                if name := _attribute(node):
                    add(name, None, _text(following))
    return {name: member for name, member in found.items() if not name.startswith("_")}


def _attribute(node: ast.AST) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
        return target.attr
    return target.id if isinstance(target, ast.Name) and isinstance(node, ast.AnnAssign) else ""


def _text(node: ast.AST | None) -> str:
    constant = node.value if isinstance(node, ast.Expr) else None
    return inspect.cleandoc(str(constant.value)) if isinstance(constant, ast.Constant) else ""


def without_await(text: str) -> str:
    """Rephrase a docstring for the blocking face."""
    for pattern, replacement in WORDS:
        text = re.sub(pattern, replacement, text)
    return text


class _Types(ast.NodeTransformer):
    """Annotations of the blocking face: its classes, and no awaitables."""

    def __init__(self, more: Mapping[str, str]) -> None:
        self._types = TYPES | dict(more)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        kept = [self.visit(side) for side in (node.left, node.right) if not _is_awaitable(side)]
        return ast.BinOp(kept[0], node.op, kept[1]) if len(kept) == 2 else kept[0]

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if _is_awaitable(node):
            nothing = isinstance(node.slice, ast.Constant) and node.slice.value is None
            return ast.Name("object") if nothing else self.visit(node.slice)  # its result is ignored
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.parse(self._types.get(node.id, node.id), mode="eval").body


def _is_awaitable(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Awaitable"


def signature(function: Function, name: str, types: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return `def name(…) -> …:` for the blocking face; `types` are replaced as well."""
    copy: Any = ast.parse(f"def f({ast.unparse(function.args)}): ...").body[0]
    for argument in ast.walk(copy.args):
        if isinstance(argument, ast.arg) and argument.annotation:
            argument.annotation = _Types(types).visit(argument.annotation)
    returns = (
        ast.unparse(_Types(types).visit(ast.parse(ast.unparse(function.returns), mode="eval").body))
        if function.returns
        else "None"
    )
    return f"def {name}({ast.unparse(copy.args)}) -> {returns}:"


def docstring(text: str, indent: int) -> str:
    """Format a docstring."""
    margin = " " * indent
    quoted = text.replace("\\", "\\\\")
    end = '\n"""' if "\n" in text else '"""'
    return textwrap.indent(f'"""{quoted}{end}', margin, lambda line: bool(line.strip())) + "\n"


def rewritten(path: Path) -> str:
    """Return what a module of the blocking face should be."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    edits: list[tuple[int, int, str]] = []
    module = f"goes_lite.blocking.{path.stem}"
    body = ast.parse(text).body
    edits += [edit for node in body if isinstance(node, ast.FunctionDef) for edit in _function(node, path, lines)]
    for cls in body:
        if not isinstance(cls, ast.ClassDef) or not cls.name.startswith("Blocking"):
            continue
        source = lineage(module, cls.name.removeprefix("Blocking"))
        if not source:
            continue
        known = members(source)
        own = {node.name: node for node in cls.body if isinstance(node, ast.FunctionDef)}
        overloaded = {node.name for node in cls.body if isinstance(node, ast.FunctionDef) and _has(node, "overload")}
        for name, node in own.items():
            if name not in known:
                continue
            function, doc = known[name]
            begin, end = node.lineno, node.body[0].lineno - 1
            head = "".join(lines[begin - 1 : end])
            if function and not _has(node, "property") and name not in overloaded:
                head = textwrap.indent(signature(function, name), " " * 4) + "\n"
            if node.body[0].lineno == node.lineno:
                raise SystemExit(f"{path}: {cls.name}.{name} is written on one line: put its body on the next")
            if doc:
                if ast.get_docstring(node):
                    end = node.body[0].end_lineno or end
                head += docstring(without_await(doc), 8)
            edits.append((begin, end, head))
        if any(isinstance(base, ast.Name) and base.id == "Protocol" for base in source[0][1].bases):
            missing = [name for name, (function, _) in known.items() if function and name not in own]
            for name in missing:
                edits.append(((cls.end_lineno or 0) + 1, cls.end_lineno or 0, _forwarding(cls, known[name], name)))
    for begin, end, new in sorted(edits, reverse=True):
        lines[begin - 1 : end] = [new]
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(path), "-"]
    done = subprocess.run(command, input="".join(lines), capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{path}: ruff format failed:\n{done.stderr}")
    return done.stdout


def _function(node: ast.FunctionDef, path: Path, lines: list[str]) -> list[tuple[int, int, str]]:
    """Return the edit of a function that follows one of the module of the same name outside of `blocking`."""
    outside = ROOT / "goes_lite" / path.stem
    if node.name.startswith("_") or not (outside.is_dir() or outside.with_suffix(".py").is_file()):
        return []
    found = find(f"goes_lite.{path.stem}", node.name, (ast.FunctionDef, ast.AsyncFunctionDef))
    if found is None or not isinstance(found[1], Function):
        return []
    if not ast.get_docstring(node):
        raise SystemExit(f"{path}: {node.name} has no docstring: write one of any text")
    head = (
        signature(found[1], node.name, BACKENDS) + "\n" + docstring(without_await(ast.get_docstring(found[1]) or ""), 4)
    )
    return [(node.lineno, node.body[0].end_lineno or 0, head)]


def _has(node: ast.FunctionDef, decorator: str) -> bool:
    return any(isinstance(one, ast.Name) and one.id == decorator for one in node.decorator_list)


def _forwarding(cls: ast.ClassDef, member: tuple[Function | None, str], name: str) -> str:
    """Write a method that forwards to a method of a protocol."""
    function, doc = member
    assert function is not None
    initialiser = next(node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    inner = next(_attribute(node) for node in initialiser.body if _attribute(node) not in ("", "_portal"))
    arguments = [one.arg for one in (*function.args.posonlyargs, *function.args.args)][1:]
    arguments += [f"{one.arg}={one.arg}" for one in function.args.kwonlyargs]
    is_property = any(isinstance(one, ast.Name) and one.id == "property" for one in function.decorator_list)
    call = f"self.{inner}.{name}" if is_property else f"self.{inner}.{name}({', '.join(arguments)})"
    if isinstance(function, ast.AsyncFunctionDef):
        call = f"self._portal.run({call})"
    elif "Pages" in ast.unparse(function.returns or ast.Constant(None)):
        call = f"BlockingPages({call}, self._portal)"
    body = docstring(without_await(doc), 8) if doc else ""
    decorator = "    @property\n" if is_property else ""
    return f"\n{decorator}    {signature(function, name)}\n{body}        return {call}\n"


def main() -> None:
    """Rewrite or check every module of the blocking face."""
    check = "--check" in sys.argv[1:]
    stale: list[str] = []
    for path in sorted(BLOCKING.glob("*.py")):
        new = rewritten(path)
        if new != path.read_text(encoding="utf-8"):
            stale.append(str(path.relative_to(ROOT)))
            if not check:
                path.write_text(new, encoding="utf-8")
    if stale:
        print("rewrote" if not check else "run python .ci/blocking.py, these differ from the async face:", *stale)
        sys.exit(1 if check else 0)


if __name__ == "__main__":
    main()
