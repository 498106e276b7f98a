"""What led to what, as a graph for a person: events, decisions, retrainings, gates, versions, rollouts, traffic."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class NodeKind(StrEnum):
    """The kind of thing that a node stands for."""

    EVENT = "event"
    DECISION = "decision"
    RETRAINING = "retraining"
    GATE = "gate"
    VERSION = "version"
    ROLLOUT = "rollout"
    TRAFFIC = "traffic"


@dataclass(frozen=True, slots=True)
class LineageNode:
    """One thing: a title, and lines with details."""

    id: str
    kind: NodeKind
    title: str
    details: tuple[str, ...] = ()
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LineageEdge:
    """One thing led to another. With `beside` it did not: a gate compared a candidate with the champion, no more."""

    source: str
    target: str
    label: str = ""
    beside: bool = False


@dataclass(slots=True)
class Lineage:
    """A graph that grows. Adding a node or an edge again changes nothing but the node's text."""

    nodes: dict[str, LineageNode] = field(default_factory=dict[str, LineageNode])
    edges: dict[LineageEdge, None] = field(default_factory=dict[LineageEdge, None])

    def add(self, node: LineageNode) -> str:
        """Add a node; returns its id."""
        self.nodes[node.id] = node
        return node.id

    def link(self, source: str, target: str, label: str = "", *, beside: bool = False) -> None:
        """Say that source led to target."""
        self.edges[LineageEdge(source, target, label, beside)] = None

    def roots(self) -> list[LineageNode]:
        """The nodes without a cause in the graph, except those that only stand beside another, in order of adding."""
        below = {edge.target for edge in self.edges if not edge.beside}
        beside = {edge.source for edge in self.edges if edge.beside} - {e.source for e in self.edges if not e.beside}
        return [node for node in self.nodes.values() if node.id not in below | beside]

    def led_to(self, node_id: str) -> list[tuple[str, LineageNode]]:
        """The nodes that this one led to, with the labels of the edges."""
        return [(e.label, self.nodes[e.target]) for e in self.edges if e.source == node_id and not e.beside]

    def beside(self, node_id: str) -> list[tuple[str, LineageNode]]:
        """The nodes beside this one, with the labels of the edges."""
        return [(e.label, self.nodes[e.source]) for e in self.edges if e.target == node_id and e.beside]


def mermaid(graph: Lineage) -> str:
    """The graph as a Mermaid flowchart, for Markdown."""
    return "\n".join(("flowchart LR", *_mermaid_lines(graph))) + "\n"


def _mermaid_lines(graph: Lineage) -> Iterator[str]:
    numbers = {node_id: f"n{number}" for number, node_id in enumerate(graph.nodes)}
    for node in graph.nodes.values():
        text = "<br>".join(_quoted(line) for line in (f"{node.kind} {node.title}", *node.details))
        yield f'    {numbers[node.id]}["{text}"]'
    for edge in graph.edges:
        arrow = "-.->" if edge.beside else "-->"
        label = f'|"{_quoted(edge.label)}"|' if edge.label else ""
        yield f"    {numbers[edge.source]} {arrow}{label} {numbers[edge.target]}"


def _quoted(text: str) -> str:
    """The text with entity codes for the characters that would end a Mermaid string or begin markup."""
    codes = {'"': "#quot;", "<": "#lt;", ">": "#gt;", "#": "#35;", "`": "#96;"}
    return "".join(codes.get(char, char if char.isprintable() else " ") for char in text)
