"""A figure as a part of a page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

from mlp_xp.report.figures import style

VARIABLES = {
    style.INK: "ink",
    style.SOFT: "soft",
    style.LINE: "line",
    style.PAPER: "paper",
    style.ACCENT: "accent",
    style.SECOND: "second",
    style.THIRD: "third",
    style.FOR: "for",
    style.AGAINST: "against",
}
"""The page's variable for each color, which is another in a dark page."""
PIXELS = 120
"""An inch is at most as many CSS pixels: text of 8 points is then as large as 13 pixels."""


def to_svg(figure: Figure, prefix: str, title: str | None = None) -> str:
    """The <svg> element that draws a figure in an HTML page: as wide as its place, up to its size.

    Colors are the page's variables (--ink, --soft, --line, --paper, --accent, --second, --third,
    --for, --against), its background is the page's, and its text is in the page's font. All its ids
    start with `prefix`, so that those of several are different.
    title: what it shows, for those who don't see it; without one it is hidden from them.
    """
    content, _ = style.rendered(figure, ".svg", transparent=True)
    root = ElementTree.fromstring(content)
    used = set(re.findall(rb"""(?:url\(|href=["'])#([^)"']+)""", content))
    for parent in list(root.iter()):
        for child in list(parent):
            if _name(child.tag) in ("metadata", "style"):  # its rule would hold in the whole page
                parent.remove(child)
    for element in root.iter():
        element.tag = _name(element.tag)
        attributes = {_name(key): value for key, value in element.attrib.items()}
        if attributes.get("id", "").startswith(style.CRISP):
            attributes["shape-rendering"] = "crispEdges"
        if attributes.get("id", "").encode() not in used:
            attributes.pop("id", None)
        element.attrib.clear()
        element.attrib.update({k: _rewritten(k, v, prefix) for k, v in attributes.items()})
    width = figure.get_size_inches()[0]
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "style": f"display: block; width: 100%; max-width: {width * PIXELS:.0f}px; height: auto; "
        "stroke-linejoin: round; stroke-linecap: butt; font-family: inherit",
        **({"role": "img", "aria-label": title} if title else {"aria-hidden": "true"}),
    }
    return ElementTree.tostring(root, encoding="unicode")


def _name(name: str) -> str:
    """A name without its namespace, which HTML doesn't have."""
    return name.rpartition("}")[2]


def _rewritten(key: str, value: str, prefix: str) -> str:
    """An attribute's value, for the page."""
    if key == "id":
        return f"{prefix}-{value}"
    if key == "href":
        return f"#{prefix}-{value[1:]}" if value.startswith("#") else value
    value = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", value)
    if key == "style":
        value = "; ".join(filter(None, map(_declaration, value.split(";"))))
    # Five digits are a hundredth of a point.
    return re.sub(r"-?\d+\.\d{3,}", lambda match: f"{float(match[0]):.5g}", value)


def _declaration(text: str) -> str:
    """A property and its value, with the page's font and colors."""
    key, _, value = (part.strip() for part in text.partition(":"))
    if key == "font-family":
        return ""
    if key == "font":  # all in one, as older versions of matplotlib write it
        key, value = "font-size", next(iter(re.findall(r"[\d.]+px", value)), "")
    for color, variable in VARIABLES.items():
        value = value.replace(color, f"var(--{variable})")
    return f"{key}: {value}" if value else ""
