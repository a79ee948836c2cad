"""The files that pages load: one style sheet, one script, one icon. They come out of a zip file as well."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files

from goes_lite.explorer.exchange import Refused, Response

TYPES = {
    "explorer.css": "text/css; charset=utf-8",
    "explorer.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""The files, and what they are."""


@cache
def content(name: str) -> bytes:
    """Return the bytes of a file."""
    return files(__name__).joinpath(name).read_bytes()


@cache
def version() -> str:
    """Return what changes when any of the files does."""
    return sha256(b"".join(content(name) for name in TYPES)).hexdigest()[:12]


def response(path: str) -> Response:
    """Return the file that a path names. A browser may keep it: its address has the version."""
    name = path.removeprefix("/assets/")
    if name not in TYPES:
        raise Refused(404, f"there is no file {name!r:.80}")
    headers = (("Content-Type", TYPES[name]), ("Cache-Control", "private, max-age=86400"))
    return Response(200, headers, content(name))
