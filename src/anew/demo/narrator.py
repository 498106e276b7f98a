"""Prints the steps of the demo as they happen."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console


class Narrator:
    """Prints to a console: standard output for people, standard error when JSON goes to standard output."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    def chapter(self, title: str) -> None:
        """Print the heading of a part."""
        self._console.print(f"\n[bold cyan]{title}[/]")

    def step(self, text: str) -> None:
        """Print a step that is done."""
        passed = time.monotonic() - self._began
        self._console.print(f"[dim]{passed:5.1f}[/] [green]✓[/] {text}", soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a remark."""
        self._console.print(f"        [dim]{text}[/]", soft_wrap=True)

    def batch(self, number: int, accuracy: float, drift: float, decision: str) -> None:
        """Print one batch in production, and the decision about its drift event, if there was one."""
        bar = "█" * max(round((accuracy - 0.5) * 40), 0)
        colour = "green" if accuracy >= 0.76 else "yellow" if accuracy >= 0.68 else "red"
        event = f"drift event: [bold]{decision}[/]" if decision else ""
        self._console.print(
            f"       batch {number:>3}  [{colour}]{accuracy:.3f} {bar:<18}[/] drift {drift:.2f}  {event}"
        )

    def tree(self, lines: list[str]) -> None:
        """Print the explanation of a decision."""
        for line in lines:
            self._console.print(f"        {line}", markup=False, soft_wrap=True)

    def draw(self, picture: str) -> None:
        """Print a picture made of characters."""
        self._console.print(picture, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def waiting(self, text: str) -> Generator[None]:
        """Show in a terminal what the demo is waiting for."""
        if self._console.is_terminal:
            with self._console.status(text):
                yield
        else:
            yield
