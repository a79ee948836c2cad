"""Draw docs/storeys.svg, the picture of the storeys, from the import table in tests/test_layers.py.

    python .ci/storeys.py [--check]

With --check, write nothing and fail if the picture differs from the table. Needs pytest, which test_layers.py imports.
"""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "storeys.svg"

STOREYS = [  # from the ground up: purpose and columns; in a column, importers are above what they import
    ("errors, waiting, bytes", [["errors"], ["runtime"], ["codec"]]),
    ("what is recorded", [["events"]]),
    ("the protocols", [["contract"]]),
    (
        "features, and backends",
        [
            ["aggregate", "repository", "commands"],
            ["processor", "projection", "workflow"],
            ["operations", "schema"],
            ["kit"],
            ["sqlite"],
            ["goes_lite_postgres", "goes_lite_mongo", "goes_lite_nats"],
        ],
    ),
    ("what connect() returns", [["database"]]),
    ("the same without await", [["blocking"]]),
    ("what people start and import", [["explorer"], ["testing"], ["cli"], ["__main__"], ["__init__"]]),
]
WING = {"kit", "sqlite", "goes_lite_postgres", "goes_lite_mongo", "goes_lite_nats"}
"""The right wing of storey 4: neither wing imports from the other."""

LEFT, TOP, WIDTH, GAP, ROW = 214, 24, 660, 14, 52

HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}"
     font-family="system-ui, sans-serif" font-size="13" role="img" aria-labelledby="title description">
  <title id="title">The storeys of goes_lite</title>
  <desc id="description">A package imports from lower storeys, and where an arrow points.</desc>
  <style>
    .paper {{ fill: #fbfbfa }} .floor {{ fill: #f1f2f4 }} .line {{ stroke: #68717d; fill: none }} .tip {{ fill: #68717d }}
    .box {{ fill: #e8f0fb; stroke: #4a78b5 }} .wing {{ fill: #eaf5ea; stroke: #4c8a4c }}
    .name {{ fill: #22272e; font-weight: 600 }} .note {{ fill: #4d5560; font-size: 11px }}
    @media (prefers-color-scheme: dark) {{
      .paper {{ fill: #16191d }} .floor {{ fill: #20242a }} .line {{ stroke: #97a1ad }} .tip {{ fill: #97a1ad }}
      .box {{ fill: #1f3350; stroke: #6f9bd6 }} .wing {{ fill: #1f3a24; stroke: #6cab6c }}
      .name {{ fill: #e8ebef }} .note {{ fill: #b4bcc6 }}
    }}
  </style>
  <defs>
    <marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">
      <path class="tip" d="M0 0 10 5 0 10z"/>
    </marker>
  </defs>
  <rect class="paper" width="{wide}" height="{high}" rx="8"/>
"""


def tables() -> tuple[dict[str, list[str]], dict[tuple[str, str], str]]:
    """Load MAY_IMPORT and ONE_FUNCTION from tests/test_layers.py."""
    spec = spec_from_file_location("layers", ROOT / "tests" / "test_layers.py")
    assert spec
    assert spec.loader
    layers = module_from_spec(spec)
    spec.loader.exec_module(layers)
    return layers.MAY_IMPORT, layers.ONE_FUNCTION


def draw(may_import: dict[str, list[str]], one_function: dict[tuple[str, str], str]) -> str:
    """Draw the picture; ValueError if a package is missing from STOREYS, or imports from a storey above it."""
    storey = {name: n for n, (_, columns) in enumerate(STOREYS) for column in columns for name in column}
    if lost := sorted(set(may_import) ^ set(storey)):
        raise ValueError(
            f"{', '.join(lost)}: in only one of MAY_IMPORT and STOREYS of .ci/storeys.py; add it there too"
        )
    for name, targets in may_import.items():
        if above := [target for target in targets if target != "*" and storey[target] > storey[name]]:
            raise ValueError(f"{name} imports {', '.join(above)}, from a storey above it")
    siblings = {name: {t for t in may_import[name] if t != "*" and storey[t] == storey[name]} for name in storey}
    shapes: list[str] = []
    places: dict[str, tuple[float, float, float]] = {}
    levels = [1 + max(_height(name, siblings) for column in columns for name in column) for _, columns in STOREYS]
    bottom = TOP + sum(levels) * ROW + (len(STOREYS) - 1) * GAP
    y = float(bottom)
    for n, (purpose, columns) in enumerate(STOREYS):
        y -= levels[n] * ROW
        shapes += [
            f'<rect class="floor" x="12" y="{y:g}" width="{LEFT + WIDTH}" height="{levels[n] * ROW}" rx="8"/>',
            f'<text class="name" x="26" y="{y + levels[n] * ROW / 2 + 5:g}">{n + 1}</text>',
            f'<text class="note" x="46" y="{y + levels[n] * ROW / 2 + 4:g}">{purpose}</text>',
        ]
        rows: list[list[str]] = [[] for _ in range(levels[n])]
        for column in columns:
            for name in column:
                rows[_height(name, siblings)].append(name)
        for height, row in enumerate(rows):
            _place(row, columns, y + (levels[n] - 1 - height) * ROW, places)
        y -= GAP
    for name, (x, at, width) in places.items():
        kind = "wing" if name in WING else "box"
        note = _note(name, may_import, storey, one_function)
        shapes += [
            f'<rect class="{kind}" x="{x:g}" y="{at + 5:g}" width="{width:g}" height="{ROW - 14}" rx="5"/>',
            _text("name", x + width / 2, at + (22 if note else 29), name.removeprefix("goes_lite_")),
            *([_text("note", x + width / 2, at + 37, note)] if note else []),
        ]
    for name, targets in siblings.items():
        over = {further for target in targets for further in siblings[target]}
        shapes += [_arrow(places[name], places[target]) for target in sorted(targets - over)]
    wide, high = LEFT + WIDTH + 24, bottom + TOP
    return HEAD.format(wide=wide, high=high) + "".join(f"  {shape}\n" for shape in shapes) + "</svg>\n"


def _height(name: str, siblings: dict[str, set[str]]) -> int:
    """Return the number of packages of its own storey below it."""
    return max((1 + _height(target, siblings) for target in siblings[name]), default=0)


def _place(row: list[str], columns: list[list[str]], y: float, places: dict[str, tuple[float, float, float]]) -> None:
    """Divide the width, or that of the wing, among the packages of a row; features keep their columns."""
    features = [column for column in columns if not WING.intersection(column)]
    split = 0.44 * WIDTH if len(features) < len(columns) else WIDTH
    wing = [name for name in row if name in WING]
    for n, column in enumerate(features):
        if split < WIDTH:
            places |= {name: _share(n, len(features), 0, split, y) for name in column if name in row}
    for n, name in enumerate(wing or row):
        if name not in places:
            places[name] = _share(n, len(wing or row), split if wing else 0, WIDTH - split if wing else split, y)


def _share(n: int, of: int, left: float, width: float, y: float) -> tuple[float, float, float]:
    return LEFT + left + n * width / of, y, width / of - 10


def _note(
    name: str,
    may_import: dict[str, list[str]],
    storey: dict[str, int],
    one_function: dict[tuple[str, str], str],
) -> str:
    """Describe which lower packages it may not import, and which it may import in one file only."""
    if "*" in may_import[name]:
        return "imports anything"
    if name.startswith("goes_lite_"):
        return "adapter"
    missing = [other for other in storey if storey[other] < storey[name] and other not in may_import[name]]
    if adapters := [other for other in missing if other.startswith("goes_lite_")]:
        missing = [*(other for other in missing if other not in adapters), "adapters"]
    alone = [f"{target} only in {file}" for (room, target), file in one_function.items() if room == name]
    return "; ".join([*([f"not {', '.join(missing)}"] if missing else []), *alone])


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" text-anchor="middle" x="{x:g}" y="{y:g}">{text}</text>'


def _arrow(start: tuple[float, float, float], end: tuple[float, float, float]) -> str:
    (x, y, width), (end_x, end_y, end_width) = start, end
    across = max(end_x + 8, min(x + width / 2, end_x + end_width - 8))
    return (
        f'<path class="line" marker-end="url(#tip)" d="M{x + width / 2:g} {y + ROW - 9:g}L{across:g} {end_y + 4:g}"/>'
    )


def main() -> None:
    """Write the picture, or check the existing one."""
    picture = draw(*tables())
    if sys.argv[1:] != ["--check"]:
        PICTURE.write_text(picture, encoding="utf-8")
    elif PICTURE.read_text(encoding="utf-8") != picture:
        sys.exit("docs/storeys.svg differs from MAY_IMPORT: run python .ci/storeys.py")


if __name__ == "__main__":
    main()
