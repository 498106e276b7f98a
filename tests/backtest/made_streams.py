"""Small streams with a known drift."""

from pathlib import Path

import numpy as np
import pandas as pd

ROWS = 100


def stream_file(
    folder: Path, *, batches: int = 18, turn_at: int | None = None, shift_at: int | None = None, seed: int = 0
) -> Path:
    """Two features and a label that follows the first, and from batch `turn_at` on the opposite of it. From batch
    `shift_at` on the second feature, which the label does not depend on, is of another size.
    """
    rng = np.random.default_rng(seed)
    batch = np.repeat(np.arange(batches), ROWS)
    first, second = rng.normal(size=(2, len(batch)))
    label = (first + 0.3 * rng.normal(size=len(batch)) > 0).astype(int)
    if turn_at is not None:
        label = np.where(batch >= turn_at, 1 - label, label)
    if shift_at is not None:
        second = np.where(batch >= shift_at, second + 3, second)
    path = folder / "made.parquet"
    frame = pd.DataFrame({"week": batch, "first": first, "second": second, "label": label})
    frame.to_parquet(path, index=False)
    return path
