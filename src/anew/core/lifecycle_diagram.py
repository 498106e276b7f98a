"""The lifecycle tables as Mermaid state diagrams, so that the documentation shows what the code does."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import TypeVar

from anew.core.retrainings.lifecycle import ADOPTED, OPEN_RETRAINING, RETRAINING_TRANSITIONS, RetrainingState
from anew.core.rollouts.lifecycle import OPEN_ROLLOUT, ROLLOUT_TRANSITIONS, RolloutState

State = TypeVar("State", bound=StrEnum)
Move = TypeVar("Move", bound=StrEnum)

_HEAD = """\
# Lifecycle

Generated from the tables in `lifecycle.py` of `src/anew/core/retrainings` and `rollouts`; do not edit. The command:

```sh
python -c "from anew.core.lifecycle_diagram import lifecycle_page; print(lifecycle_page(), end='')" \\
    > docs/reference/lifecycle.md
```

[ledger.md](ledger.md) explains each state. A move that is not drawn here raises `IllegalTransition`.
"""


def mermaid(
    begins: Mapping[State, str], transitions: Mapping[State, Mapping[Move, State]], open_states: Collection[State]
) -> str:
    """A Mermaid `stateDiagram-v2` of a table. It begins in the states of *begins*, with these labels, and ends in every
    state that is not open.
    """
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {state}" + (f": {how}" if how else "") for state, how in begins.items()]
    for state, moves in transitions.items():
        lines += [f"    {state} --> {target}: {move}" for move, target in moves.items()]
        if state not in open_states:
            lines.append(f"    {state} --> [*]")
    return "\n".join(lines)


def lifecycle_page() -> str:
    """The text of `docs/reference/lifecycle.md`."""
    retrainings = {RetrainingState.LAUNCHING: "", RetrainingState.TRAINING: ADOPTED}
    diagrams = (
        ("A retraining", mermaid(retrainings, RETRAINING_TRANSITIONS, OPEN_RETRAINING)),
        ("A rollout", mermaid({RolloutState.PENDING: ""}, ROLLOUT_TRANSITIONS, OPEN_ROLLOUT)),
    )
    return _HEAD + "".join(f"\n## {title}\n\n```mermaid\n{diagram}\n```\n" for title, diagram in diagrams)
