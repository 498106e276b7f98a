"""Telling the story as it happens."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console


class Narrator:
    """Writes steps to a console: standard output for people, standard error when JSON goes to standard output."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    def chapter(self, title: str) -> None:
        """A new part of the story."""
        self._console.print(f"\n[bold cyan]{title}[/]")

    def step(self, text: str) -> None:
        """Something happened."""
        passed = time.monotonic() - self._began
        self._console.print(f"[dim]{passed:5.1f}[/] [green]✓[/] {text}", soft_wrap=True)

    def note(self, text: str) -> None:
        """Something worth knowing."""
        self._console.print(f"        [dim]{text}[/]", soft_wrap=True)

    def batch(self, number: int, accuracy: float, drift: float, decision: str) -> None:
        """One batch of time in production, and what was decided about its drift event, if there was one."""
        bar = "█" * max(round((accuracy - 0.5) * 40), 0)
        colour = "green" if accuracy >= 0.76 else "yellow" if accuracy >= 0.68 else "red"
        said = f"drift event: [bold]{decision}[/]" if decision else ""
        self._console.print(
            f"       batch {number:>3}  [{colour}]{accuracy:.3f} {bar:<18}[/] drift {drift:.2f}  {said}"
        )

    def tree(self, lines: list[str]) -> None:
        """A decision's explanation."""
        for line in lines:
            self._console.print(f"        {line}", markup=False, soft_wrap=True)

    def draw(self, picture: str) -> None:
        """A picture made of characters."""
        self._console.print(picture, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def waiting(self, text: str) -> Generator[None]:
        """Show that something is being waited for."""
        if self._console.is_terminal:
            with self._console.status(text):
                yield
        else:
            yield
