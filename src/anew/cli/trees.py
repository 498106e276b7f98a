"""The tree of a decision for a terminal."""

from rich.markup import escape
from rich.tree import Tree

from anew.core.evidence.tree import Node, Verdict

_MARK = {
    Verdict.YES: "[green]✓[/]",
    Verdict.NO: "[red]✗[/]",
    Verdict.UNKNOWN: "[yellow]?[/]",
    Verdict.ERROR: "[bold red]![/]",
}


def rich_tree(node: Node) -> Tree:
    """The tree, each node with its mark and its sentence."""
    tree = Tree(_line(node))
    _grow(tree, node)
    return tree


def _grow(tree: Tree, node: Node) -> None:
    for child in node.children:
        _grow(tree.add(_line(child)), child)


def _line(node: Node) -> str:
    return f"{_MARK[node.verdict]} {escape(node.sentence)}"
