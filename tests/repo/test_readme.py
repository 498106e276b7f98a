"""What the README tells people to type exists, and every link in every document leads somewhere."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from anew.cli import app
from anew.core.policies.text import parse_policy
from tests.repo.paths import ROOT, markdown_files

README = (ROOT / "README.md").read_text(encoding="utf-8")

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)|!\[[^\]]*\]\((?P<image>[^)\s]+)\)")
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


def _typed(text: str) -> Iterator[list[str]]:
    """The commands a document shows: lines of shell fences, and code spans."""
    fences = [match["body"].replace("\\\n", " ") for match in _FENCE.finditer(text) if match["language"] == "sh"]
    spans = _SPAN.findall(_FENCE.sub("", text))
    for line in (*(line for fence in fences for line in fence.splitlines()), *spans):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue  # a code span that is no command
        while words and _ASSIGNMENT.fullmatch(words[0]):
            words = words[1:]
        if len(words) > 1:
            yield words


def _commands(program: str) -> list[str]:
    return sorted({shlex.join(words[1:]) for words in _typed(README) if words[0] == program})


@pytest.mark.parametrize("command", _commands("anew"))
def test_anew_command_exists(command: str) -> None:
    """Every `anew` command in the README exists."""
    function, *_ = app.parse_args(shlex.split(command), print_error=False, exit_on_error=False)
    assert function is not app.help_print


@pytest.mark.parametrize("target", _commands("make"))
def test_make_target_exists(target: str) -> None:
    """Every `make` target in the README exists."""
    assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_readme_shows_main_commands() -> None:
    """The README shows `make demo`, `make test` and `anew events subscribe`."""
    assert {"demo", "test"} <= set(_commands("make"))
    assert any(each.startswith("events subscribe") for each in _commands("anew"))


def test_readme_policy_is_shipped() -> None:
    """The policy in the README equals `policies/weather.yaml` and is valid."""
    shown = next(match["body"] for match in _FENCE.finditer(README) if match["language"] == "yaml")
    assert shown == (ROOT / "policies" / "weather.yaml").read_text(encoding="utf-8")
    assert parse_policy(shown, "README.md").model == "weather"


def _slug(heading: str) -> str:
    """The anchor GitHub gives a heading."""
    plain = re.sub(r"[^\w\- ]", "", heading.strip().casefold())
    return plain.replace(" ", "-")


def _anchors(file: Path) -> set[str]:
    text = _FENCE.sub("", file.read_text(encoding="utf-8"))
    return {_slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("file", markdown_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_relative_links_resolve(file: Path) -> None:
    """Every relative link in the documents leads to a file and a heading that exist."""
    broken: list[str] = []
    for match in _LINK.finditer(_FENCE.sub("", file.read_text(encoding="utf-8"))):
        link = match["target"] or match["image"]
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []
