"""The lifecycle tables as Mermaid state diagrams, so that the documents show what the code does and nothing else."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from anew.core.lifecycle import RETRAINING_TRANSITIONS, ROLLOUT_TRANSITIONS, RetrainingState, RolloutState

State = TypeVar("State", bound=StrEnum)
Move = TypeVar("Move", bound=StrEnum)

_HEAD = """\
# Lifecycle

Generated from the tables in `src/anew/core/lifecycle.py`; do not edit. To make it anew:

```sh
python -c "from anew.core.lifecycle_diagram import lifecycle_page; print(lifecycle_page(), end='')" \\
    > docs/reference/lifecycle.md
```

What each state means is told in [ledger.md](ledger.md). A move that is not drawn here raises `IllegalTransition`.
"""


def mermaid(first: State, transitions: Mapping[State, Mapping[Move, State]]) -> str:
    """A Mermaid `stateDiagram-v2` of a table: it begins in *first*, and ends in every state without a move."""
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    for state, moves in transitions.items():
        lines += [f"    {state} --> {target}: {move}" for move, target in moves.items()]
        if not moves:
            lines.append(f"    {state} --> [*]")
    return "\n".join(lines)


def lifecycle_page() -> str:
    """The text of `docs/reference/lifecycle.md`."""
    diagrams = (
        ("A retraining", mermaid(RetrainingState.LAUNCHING, RETRAINING_TRANSITIONS)),
        ("A rollout", mermaid(RolloutState.PENDING, ROLLOUT_TRANSITIONS)),
    )
    return _HEAD + "".join(f"\n## {title}\n\n```mermaid\n{diagram}\n```\n" for title, diagram in diagrams)
