"""A picture of a component of the identity graph: SVG, every value masked.

Colour tells profiles apart; a dashed red line was refused; a double ring marks what glues people together; a
grey square is blocked.
"""

from __future__ import annotations

from html import escape
from xml.etree import ElementTree as ET

import networkx as nx

from identity.explanation import Cluster

__all__ = ["cluster_page", "cluster_svg"]

_SHOWN = 120
"""Identifiers that a picture holds; those nearest to the one that was asked for."""
_WIDTH, _HEIGHT, _MARGIN = 960, 640, 70
_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#9d755d", "#72b7b2", "#eeca3b", "#ff9da6")
_LONELY = "#bab0ac"


def cluster_svg(cluster: Cluster) -> str:
    """Draw a component.

    Args:
        cluster: what `show_cluster` found.

    Returns:
        An SVG document; more than 120 identifiers are cut to the nearest, and the picture says so.
    """
    near = nx.single_source_shortest_path_length(cluster.graph, cluster.start)
    nodes = sorted(near, key=lambda node: (near[node], node))[:_SHOWN]
    graph = cluster.graph.subgraph(nodes)
    places = _places(graph)
    profiles = sorted({str(each["profile"]) for _, each in graph.nodes(data=True) if each["profile"]})
    colour = {each: _COLOURS[nth % len(_COLOURS)] for nth, each in enumerate(profiles)}
    glue = {each.identifier for each in cluster.glue}
    svg = ET.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        width=str(_WIDTH),
        height=str(_HEIGHT),
        role="img",
    )
    _text(svg, "title", f"{len(cluster.graph)} identifiers, {len(profiles)} profiles")
    ET.SubElement(svg, "rect", width="100%", height="100%", fill="#ffffff")
    for one, other, edge in graph.edges(data=True):
        line = ET.SubElement(
            svg,
            "line",
            x1=f"{places[one][0]:.1f}",
            y1=f"{places[one][1]:.1f}",
            x2=f"{places[other][0]:.1f}",
            y2=f"{places[other][1]:.1f}",
            stroke="#888888" if edge["held"] else "#d62728",
        )
        line.set("stroke-width", "1.6" if edge["held"] else "1.2")
        if not edge["held"]:
            line.set("stroke-dasharray", "5 4")
        _text(line, "title", f"{edge['occurred_at']:%Y-%m-%d %H:%M} {edge['reason'] or 'held'}")
    for node, facts in graph.nodes(data=True):
        _node(svg, cluster, node, facts, places[node], colour, glued=cluster.shown[node] in glue)
    left_out = len(cluster.graph) - len(graph)
    note = f"{len(graph)} identifiers, {len(profiles)} profiles; dashed: refused; ring: holds people together"
    if left_out:
        note += f"; {left_out:,} more identifiers not drawn"
    _text(svg, "text", note, x="14", y=str(_HEIGHT - 14), fill="#444444", **_FONT)
    return ET.tostring(svg, encoding="unicode")


_FONT = {"font-family": "system-ui, sans-serif", "font-size": "12"}


def _node(
    svg: ET.Element,
    cluster: Cluster,
    node: str,
    facts: dict[str, object],
    place: tuple[float, float],
    colour: dict[str, str],
    *,
    glued: bool,
) -> None:
    x, y = place
    shown = cluster.shown[node]
    fill = colour.get(str(facts["profile"]), _LONELY)
    if glued:
        ET.SubElement(svg, "circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="12", fill="none", stroke="#222222")
    if facts["blocked"]:
        ET.SubElement(svg, "rect", x=f"{x - 7:.1f}", y=f"{y - 7:.1f}", width="14", height="14", fill=_LONELY)
    else:
        ET.SubElement(svg, "circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="8", fill=fill)
    weight = "bold" if node == cluster.start else "normal"
    label = _text(svg, "text", shown.type, x=f"{x + 12:.1f}", y=f"{y - 2:.1f}", fill="#777777", **_FONT)
    label.set("font-size", "10")
    label = _text(svg, "text", shown.value, x=f"{x + 12:.1f}", y=f"{y + 11:.1f}", fill="#222222", **_FONT)
    label.set("font-weight", weight)


def _places(graph: nx.Graph[str]) -> dict[str, tuple[float, float]]:
    """Where each node stands, in pixels; the same graph is always drawn the same."""
    found = nx.spring_layout(graph, seed=7, iterations=120, k=2.4 / max(len(graph), 1) ** 0.5)
    xs = [float(place[0]) for place in found.values()]
    ys = [float(place[1]) for place in found.values()]

    def scaled(value: float, values: list[float], size: int, margin: int) -> float:
        spread = max(values) - min(values)
        part = (value - min(values)) / spread if spread else 0.5
        return margin + part * (size - 2 * margin)

    return {
        node: (
            scaled(float(x), xs, _WIDTH - 90, _MARGIN),
            scaled(float(y), ys, _HEIGHT - 20, _MARGIN // 2),
        )
        for node, (x, y) in found.items()
    }


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = text
    return element


def cluster_page(cluster: Cluster) -> str:
    """A page of its own: the picture, what glues people together, and the bridges.

    Args:
        cluster: what `show_cluster` found.

    Returns:
        An HTML document without any reference to another file.
    """
    glue = "".join(
        f"<li>{escape(each.identifier.type)} <b>{escape(each.identifier.value)}</b> holds "
        f"{each.people} people together ({each.neighbours} neighbours"
        f"{', blocked' if each.blocked else ''})</li>"
        for each in cluster.glue
    )
    bridges = "".join(
        f"<li>{escape(each.step.left.type)} <b>{escape(each.step.left.value)}</b> – "
        f"{escape(each.step.right.type)} <b>{escape(each.step.right.value)}</b>: "
        f"{each.sides[0]} and {each.sides[1]} identifiers, joined {each.step.occurred_at:%Y-%m-%d} "
        f"by {escape(each.step.event)}</li>"
        for each in cluster.bridges
    )
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Identity cluster</title>"
        "<style>body{font-family:system-ui,sans-serif;max-width:980px;margin:2em auto;color:#222}</style>"
        f"</head><body><h1>Identity cluster</h1>{cluster_svg(cluster)}"
        f"<h2>What holds people together</h2><ul>{glue or '<li>nothing</li>'}</ul>"
        f"<h2>Bridges</h2><p>Links without which a profile would fall in two.</p>"
        f"<ul>{bridges or '<li>none</li>'}</ul></body></html>\n"
    )
