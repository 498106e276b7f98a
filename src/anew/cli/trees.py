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


def rich_tree(node: Node, into: Tree | None = None) -> Tree:
    """The tree, each node with its mark and its sentence; as a branch of *into* if there is one."""
    line = f"{_MARK[node.verdict]} {escape(node.sentence)}"
    tree = Tree(line) if into is None else into.add(line)
    for child in node.children:
        rich_tree(child, tree)
    return tree
