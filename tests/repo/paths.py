"""Where things are in a checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def markdown_files() -> list[Path]:
    """Every Markdown file people read: at the root, and below the folders of the project."""
    folders = ("docs", "policies", "src", "flows", "tests")
    return sorted([*ROOT.glob("*.md"), *(file for folder in folders for file in (ROOT / folder).rglob("*.md"))])
