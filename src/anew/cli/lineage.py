"""`anew lineage`: a drawing of what led to what."""

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from anew.cli.output import moment_text, one_line, print_json
from anew.core.history.graph import Lineage, LineageNode, NodeKind
from anew.core.history.graph import mermaid as as_mermaid
from anew.engine.history.lineage import lineage as lineage_of
from anew.errors import InvalidRequest
from anew.settings import load_settings
from anew.wiring import open_ledger

_COLOURS = {
    NodeKind.EVENT: "yellow",
    NodeKind.DECISION: "magenta",
    NodeKind.RETRAINING: "blue",
    NodeKind.GATE: "blue",
    NodeKind.VERSION: "bold cyan",
    NodeKind.ROLLOUT: "green",
    NodeKind.TRAFFIC: "bold green",
}


def lineage(id: str, *, json: bool = False, mermaid: bool = False) -> None:
    """Draw the chain of one thing, back to the events that caused it and forward to the traffic it has or had.

    Parameters
    ----------
    id
        An event id or inbox key, a decision, retraining or rollout id, an external run, model:version, or a model (the
        versions that serve now).
    json
        Print the nodes and edges as one JSON object.
    mermaid
        Print a Mermaid flowchart.
    """
    if json and mermaid:
        raise InvalidRequest("give --json or --mermaid, not both")
    graph = lineage_of(open_ledger(load_settings()), id)
    if json:
        print_json({"nodes": list(graph.nodes.values()), "edges": list(graph.edges)})
    elif mermaid:
        print(as_mermaid(graph), end="")
    else:
        show_lineage(Console(highlight=False), graph)


def show_lineage(console: Console, graph: Lineage) -> None:
    """Print the graph as trees. Each node is drawn once; a second cause gets an arrow up to it."""
    drawn: set[str] = set()
    for root in graph.roots():
        tree = Tree(_line(root))
        _grow(tree, graph, root, drawn)
        console.print(tree)


def _grow(tree: Tree, graph: Lineage, node: LineageNode, drawn: set[str]) -> None:
    drawn.add(node.id)
    for label, other in graph.beside(node.id):
        tree.add(_line(other, label))
    for label, below in graph.led_to(node.id):
        if below.id in drawn:
            tree.add(Text(f"↑ {below.kind} {one_line(below.title)}", "dim"))
        else:
            _grow(tree.add(_line(below, label)), graph, below, drawn)


def _line(node: LineageNode, label: str = "") -> Text:
    when = f"  {moment_text(node.at)}" if node.at else ""
    first = Text.assemble(
        (f"{label} " if label else "", "dim"),
        (f"{node.kind} ", "dim"),
        (one_line(node.title), _COLOURS[node.kind]),
        (when, "dim"),
    )
    return Text("\n").join((first, *(Text(one_line(each)) for each in node.details)))
