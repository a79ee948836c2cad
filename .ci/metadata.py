"""What the package index shows: README.md with links that work there, and the addresses of the project.

The address of the repository comes from the variable GOES_LITE_REPOSITORY when a release is built. Without it there are no
addresses, and links to files of the repository become their text: nothing leads to where nothing is.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

try:
    from hatchling.metadata.plugin.interface import MetadataHookInterface
except ModuleNotFoundError:  # where the tests run, nothing is built
    MetadataHookInterface = object

LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+://|#)([^)\s]+)\)")


def described(readme: str, repository: str, version: str) -> str:
    """Return the text of README.md with absolute links to the files of a version, or without links to them."""
    parts = re.split(r"(^```.*?^```$)", readme, flags=re.MULTILINE | re.DOTALL)
    to = rf"[\1]({repository}/blob/v{version}/\2)" if repository else r"\1"
    return "".join(part if part.startswith("```") else LINK.sub(to, part) for part in parts)


def urls(repository: str) -> dict[str, str]:
    """Return the addresses of the project: none where that of the repository is not known."""
    if not repository:
        return {}
    return {
        "Repository": repository,
        "Documentation": f"{repository}/blob/main/docs/index.md",
        "Changelog": f"{repository}/blob/main/CHANGELOG.md",
        "Issues": f"{repository}/issues",
        "Security": f"{repository}/security/policy",
    }


class Hook(MetadataHookInterface):
    """Fills in `readme` and `urls`, which pyproject.toml declares as dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        if "readme" in metadata:  # an sdist has it in its PKG-INFO, from where hatchling takes it
            metadata.setdefault("urls", {})
            return
        repository = os.environ.get("GOES_LITE_REPOSITORY", "").rstrip("/")
        text = described((Path(self.root) / "README.md").read_text(encoding="utf-8"), repository, metadata["version"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        metadata["urls"] = urls(repository)
