"""Each kind of rule of the union is tested, documented, and known to editors: forgetting one of these fails here."""

import json
import re

import pytest

from tests.core.rules.samples import COMPOSED, KINDS, SPECIMENS
from tests.repo.paths import ROOT


def test_specimens_are_the_kinds() -> None:
    """A specimen of a kind that the language does not know fails, and so does a kind without a specimen."""
    assert {*SPECIMENS, *COMPOSED} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_kind_has_a_specimen(kind: str) -> None:
    """Tests that go through all kinds of rules take them from here."""
    documents = [*SPECIMENS.get(kind, ()), *([COMPOSED[kind]] if kind in COMPOSED else [])]
    assert documents
    assert {document["kind"] for document in documents} == {kind}


@pytest.mark.parametrize("kind", KINDS)
def test_kind_has_a_row(kind: str) -> None:
    """The list of rules in the reference has an item that begins with the kind, and says when it is yes."""
    page = (ROOT / "docs" / "reference" / "policy.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", page, flags=re.MULTILINE)
    [rules] = [text for text in section if text.startswith("when\n")]
    assert re.search(rf"^- `{kind}`(?:.|\n  )*Yes\s+when ", rules, re.MULTILINE)


@pytest.mark.parametrize("kind", KINDS)
def test_kind_is_in_the_schema(kind: str) -> None:
    """The schema that editors read lists the kind wherever a rule may stand."""
    schema = json.loads((ROOT / "policies" / "policy.schema.json").read_text(encoding="utf-8"))
    assert kind in schema["properties"]["when"]["discriminator"]["mapping"]
