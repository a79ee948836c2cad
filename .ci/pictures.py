"""Make the pictures of the explorer in `docs/pictures/`.

    python .ci/pictures.py [NAME …]

Needs the environment `dev` (`python3 .ci/env.py dev` prints its Python), and Chromium: `apt-get install chromium
fonts-dejavu-core`. The store is that of the tests, so a picture shows the same whenever it is made; look at it before you
commit it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "conformance")]

from tests.explorer.browser_kit import chromium, looking, made, serving  # noqa: E402

INTO = ROOT / "docs" / "pictures"
LARGEST = 150 * 1024
WIDTH, HEIGHT = 1200, 760


class Picture(NamedTuple):
    """A page, and how much of it is shown."""

    name: str
    path: str
    height: int = HEIGHT
    dark: bool = False
    width: int = WIDTH


PICTURES = (
    Picture("overview", "/"),
    Picture("log", "/log?name=order.paid&name=order.shipped", dark=True),
    Picture("event", "/event/19", 1000),
    Picture("aggregate", "/aggregate/order/2026-0003?at=2", 900),
    Picture("projection", "/projection/sales?at=40", 900),
    Picture("workflow", "/workflows/fulfilment/2026-0003", 900, dark=True),
)


def main(names: list[str]) -> None:
    """Make those that are named, or all."""
    chosen = [one for one in PICTURES if not names or one.name in names]
    INTO.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tea-") as folder:
        store = made("tea_shop", Path(folder))
        with (
            serving(store, "--app", "tea_shop:registry", "--disclose", "full") as url,
            chromium() as browser,
            looking(browser, url) as explorer,
        ):
            for one in chosen:
                explorer.page.set_viewport_size({"width": one.width, "height": one.height})
                explorer.page.emulate_media(color_scheme="dark" if one.dark else "light", reduced_motion="reduce")
                explorer.go(one.path)
                file = INTO / f"{one.name}.png"
                explorer.page.screenshot(path=file, animations="disabled", caret="hide")
                size = file.stat().st_size
                print(f"{file.relative_to(ROOT)}: {size / 1024:.0f} KiB")
                if size > LARGEST:
                    sys.exit(f"{file.name} is larger than {LARGEST // 1024} KiB")


if __name__ == "__main__":
    main(sys.argv[1:])
