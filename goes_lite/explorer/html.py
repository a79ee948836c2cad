"""Markup that is safe by construction: what is not `Html` is text and gets escaped, and no attribute can carry code.

Rule of this file: everything that a store holds may come from anybody, so nothing but these functions makes markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlencode

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
_KEPT = frozenset("\n\t")
_VOID = frozenset(("br", "hr", "img", "input", "link", "meta", "col"))
"""Elements without children and an end. Those of SVG have one."""
_ADDRESSES = frozenset(("href", "src", "action", "formaction"))


class Html(str):
    """Markup that is safe to send."""

    __slots__ = ()


class Href(str):
    """An address within the explorer, made by `href`: the only value that an attribute such as `href` takes."""

    __slots__ = ()


Child = object
"""Html as it is; None and False are left out; an iterable of children; everything else is text."""


def visible(text: str) -> str:
    """Return the text with characters that show nothing, or change the direction of others, as their escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _KEPT else repr(c)[1:-1] for c in text)


def escape(value: object) -> Html:
    """Return a value as markup: Html as it is, else its text."""
    return value if isinstance(value, Html) else Html(visible(str(value)).translate(_ESCAPES))


def join(*children: Child) -> Html:
    """Return children one after the other, without anything between them."""
    return Html("".join(_parts(children)))


def _parts(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None or child is False:
            continue
        if isinstance(child, Iterable) and not isinstance(child, (str, Mapping, bytes)):
            yield from _parts(child)  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield escape(child)  # pyright: ignore[reportUnknownArgumentType]


def tag(name: str, /, *children: Child, **attributes: object) -> Html:
    """Return an element: `tag("a", "Log", href=href("/log"), class_="on")`.

    `class_` and `for_` are written without the underscore at the end, `aria_label` and `data_x` with hyphens. An attribute of
    None or False is left out; of True, it stands alone. ValueError for those that carry code (`onclick`, `style`), TypeError
    for an address that `href` did not make.
    """
    written = "".join(
        _attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    inside = "".join(_parts(children))
    return Html(f"<{name}{written}>" if name in _VOID and not inside else f"<{name}{written}>{inside}</{name}>")


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    if name.startswith("on") or name in ("style", "srcdoc"):
        raise ValueError(f"{name} carries code, which no page of the explorer has")
    if name in _ADDRESSES and not isinstance(value, Href):
        raise TypeError(f"{name} takes what href() makes, not {value!r:.80}")
    if value is True:
        return f" {name}"
    return f' {name}="{visible(str(value)).translate(_ESCAPES)}"'


def href(path: str, /, *, base: str = "", **query: object) -> Href:
    """Return the address of a page: a path such as `/event/12`, and its query; `base_` stands for `base`.

    A value of None or "" is left out, and one that is a list or tuple is written once for each. `base` is the path below
    which the explorer is mounted. What a path cannot say (an id such as `..`, or one that ends with `.json`) goes into the query.
    """
    return address(path, {name.rstrip("_"): value for name, value in query.items()}, base)


def address(path: str, query: Mapping[str, object], base: str = "") -> Href:
    """Return the address of a page, as `href` does, with parameters of any name."""
    pairs = [
        (name, str(one))  # pyright: ignore[reportUnknownArgumentType]
        for name, value in query.items()
        for one in (value if isinstance(value, (list, tuple)) else (value,))  # pyright: ignore[reportUnknownVariableType]
        if one is not None and one != ""
    ]
    path = "/" + path.lstrip("/")  # two slashes at the beginning would name another host
    page, _, argument = path[1:].partition("/")
    if any(part in (".", "..") for part in argument.split("/")) or argument.endswith(".json"):
        pairs.insert(0, ("of", argument))
        path = f"/{page}"
    # Lone surrogates can stand in ids that were stored by others; they come back as what they were.
    found = quote(base + path, safe="/:@", errors="surrogatepass")
    return Href(found + "?" + urlencode(pairs, errors="surrogatepass") if pairs else found)
