"""Reads recorded signals from a CSV or JSON Lines file, and refuses lines that are not signals."""

import csv
import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn, cast

from anew.core.evidence.signals import Signal
from anew.errors import InvalidStream

SOURCE: Final = "recorded"
REQUIRED: Final = ("metric", "value", "at")
OPTIONAL: Final = ("feature", "rows", "threshold", "monitor", "error", "noise_floor")
_ADVICE: Final = (
    f"Signals are a CSV or JSON Lines file with the columns {', '.join(REQUIRED)}, optionally {', '.join(OPTIONAL)}"
)
_YEARS: Final = range(1900, 9000)  # keeps every date plus or minus a policy's duration within the calendar

_Numbered = tuple[int, Mapping[str, Any]]


def read_signals(path: Path) -> tuple[Signal, ...]:
    """The signals of a file, one a line, in the order of the file. An empty value was not measured.

    Other columns are ignored.

    Raises:
        InvalidStream: the file cannot be used; the message says which line and column, and why.
    """
    reader = {".csv": _csv_rows, ".jsonl": _json_rows}.get(path.suffix.lower())
    if reader is None:
        raise InvalidStream(f"{path} is neither CSV nor JSON Lines (.jsonl)", advice=_ADVICE)
    try:
        signals = tuple(_signal(row, f"{path}:{line}") for line, row in reader(path))
    except OSError as error:
        raise InvalidStream(f"{path} cannot be read: {error.strerror or error}", advice=_ADVICE) from error
    except UnicodeDecodeError as error:
        raise InvalidStream(f"{path} is not UTF-8 text: byte {error.start}", advice=_ADVICE) from error
    if not signals:
        raise InvalidStream(f"{path} holds no signal", advice=_ADVICE)
    return signals


def _csv_rows(path: Path) -> Iterator[_Numbered]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            columns = list(reader.fieldnames or ())
            absent = [name for name in REQUIRED if name not in columns]
            if absent:
                raise InvalidStream(
                    f"{path}:1: no column {absent[0]!r}; it has {', '.join(columns) or 'none'}", advice=_ADVICE
                )
            for row in reader:
                if None in row:
                    raise InvalidStream(f"{path}:{reader.line_num}: has more fields than the first line")
                yield reader.line_num, row
        except csv.Error as error:
            raise InvalidStream(f"{path}:{reader.line_num}: is not CSV: {error}", advice=_ADVICE) from error


def _json_rows(path: Path) -> Iterator[_Numbered]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InvalidStream(f"{path}:{number}: is not JSON: {error}", advice=_ADVICE) from error
            if not isinstance(row, dict):
                raise InvalidStream(f"{path}:{number}: is not a JSON object", advice=_ADVICE)
            yield number, cast("dict[str, Any]", row)


def _signal(row: Mapping[str, Any], where: str) -> Signal:
    cells = _Cells(row, where)
    return Signal(
        metric=cells.needed("metric"),
        value=cells.number("value"),
        source=SOURCE,
        at=cells.moment("at"),
        feature=cells.text("feature"),
        threshold=cells.number("threshold"),
        monitor=cells.text("monitor"),
        rows=cells.count("rows"),
        noise_floor=cells.number("noise_floor"),
        error=cells.number("error"),
    )


class _Cells:
    """The cells of one line, each checked as it is read."""

    def __init__(self, row: Mapping[str, Any], where: str) -> None:
        self._row = row
        self._where = where

    def text(self, column: str) -> str | None:
        value = self._row.get(column)
        if value is None or value == "":
            return None
        return value if isinstance(value, str) else self._refuse(column, "text")

    def needed(self, column: str) -> str:
        return self.text(column) or self._refuse(column, "text")

    def number(self, column: str) -> float | None:
        value = self._row.get(column)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self._refuse(column, "a number, or empty")
        try:
            number = float(value)
        except (ValueError, OverflowError):
            self._refuse(column, "a number, or empty")
        return None if math.isnan(number) else number

    def count(self, column: str) -> int | None:
        number = self.number(column)
        if number is None:
            return None
        # Whole numbers beside empty cells are often written as 500.0.
        return int(number) if number >= 0 and number.is_integer() else self._refuse(column, "a whole number, or empty")

    def moment(self, column: str) -> datetime:
        try:
            moment = datetime.fromisoformat(self.needed(column).strip().upper())
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None or moment.year not in _YEARS:
            self._refuse(column, "a time with its offset, such as 2026-07-14T12:00:00Z")
        return moment.astimezone(UTC)

    def _refuse(self, column: str, expected: str) -> NoReturn:
        found = self._row.get(column)
        told = "nothing" if found is None or found == "" else repr(found)[:60]
        raise InvalidStream(f"{self._where}: {column} must be {expected}, found {told}", advice=_ADVICE)
