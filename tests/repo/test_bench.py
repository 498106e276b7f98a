"""Every benchmark that `python -m bench` lists, and every one the documents name, exists."""

import re
from importlib.util import find_spec

import pytest

from bench.__main__ import BENCHES, RIVALS
from tests.repo.paths import markdown_files

_NAMED = re.compile(r"`python -m bench ([a-z -]+)")


@pytest.mark.parametrize("name", [*BENCHES, *RIVALS])
def test_listed_bench_exists(name: str) -> None:
    """Every listed benchmark has its module."""
    assert find_spec(f"bench.{(BENCHES | RIVALS)[name].module}")


def test_documented_benches_exist() -> None:
    """Every benchmark that a document names exists."""
    documents = (path.read_text(encoding="utf-8") for path in markdown_files())
    named = {word for text in documents for match in _NAMED.finditer(text) for word in match[1].split()}

    assert {"burst", "intake", "stalls"} <= named
    assert {name for name in named if not name.startswith("-")} <= {*BENCHES, *RIVALS, "all"}
