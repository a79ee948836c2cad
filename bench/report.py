"""Write bench/README.md and its charts from the stored figures: `python bench/report.py`.

The figures are in bench/figures/*.json, written by `run.py --json` and `peers.py --json`; no number in the tables is typed
by hand. The other text is in bench/about.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import picture
from bench.table import HEADER, Row, Series, load, series_header

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Write the page and its charts."""
    text = [(HERE / "about.md").read_text().rstrip()]
    for path in sorted((HERE / "figures").glob("*.json")):
        title, machine, found = load(path)
        rows = [row for row in found if isinstance(row, Row)]
        series = [row for row in found if isinstance(row, Series)]
        text.append(f"\n## {title}\n\n{machine}.")
        if any(row.limit and row.budget for row in rows):
            drawing = path.with_suffix(".svg")
            drawing.write_text(picture.bars(rows, f"{title}: ratios, and where their budgets are"))
            text.append(f"\n![Ratios and budgets](figures/{drawing.name})")
        if rows:
            text.append("\n" + "\n".join([HEADER, *map(str, rows)]))
        if series:
            drawing = path.with_name(f"{path.stem}-lines.svg")
            drawing.write_text(picture.lines(series, f"{title}: cost by the length of the log, 1 × at 10,000 events"))
            text.append(f"\n![Cost by the length of the log](figures/{drawing.name})")
            text.append("\n" + "\n".join([series_header(series[0].values), *map(str, series)]))
    (HERE / "README.md").write_text("\n".join(text) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
