"""Kusto queries over log tables: rows become DuckDB tables, duckdb-kql translates and runs the query."""

import json
import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from anew.emulator.base.cloud import timestamp
from anew.emulator.base.state import Document

Schema = Mapping[str, str]
"""Column name to Kusto type."""

_DUCKDB_TYPES: Final[Mapping[str, str]] = {
    "bool": "BOOLEAN",
    "datetime": "TIMESTAMP",
    "dynamic": "JSON",
    "int": "INTEGER",
    "long": "BIGINT",
    "real": "DOUBLE",
    "string": "VARCHAR",
}
_KUSTO_TYPES: Final[Mapping[str, str]] = {
    "BIGINT": "long",
    "BOOLEAN": "bool",
    "DOUBLE": "real",
    "FLOAT": "real",
    "HUGEINT": "long",
    "INTEGER": "int",
    "INTERVAL": "timespan",
    "SMALLINT": "int",
    "UBIGINT": "long",
    "UUID": "guid",
    "VARCHAR": "string",
}
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*")
_MISSING_TABLE: Final = re.compile(r"Table with name (\S+) does not exist")
_MISSING_COLUMN: Final = re.compile(r'Referenced column "([^"]+)" not found')
# Local Azure ingests a row at the moment it is generated, and duckdb-kql has no ingestion_time().
_INGESTION_TIME: Final = re.compile(r"\bingestion_time\s*\(\s*\)")
_ROWS_AT_ONCE: Final = 20_000


class QueryError(ValueError):
    """A query that cannot run: kind is SyntaxError or SemanticError, code is Kusto's."""

    def __init__(self, kind: str, code: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code


@dataclass(frozen=True)
class QueryTable:
    """A query's answer: column names, their Kusto types, and rows of JSON values."""

    columns: list[str]
    types: list[str]
    rows: list[list[Any]]


def identifiers(query: str) -> set[str]:
    """Every name in a query, including the tables that it reads."""
    return set(_IDENTIFIER.findall(query))


class LogTables:
    """The log tables of one local Azure as tables of one DuckDB in memory, into which each row is copied once.

    The cost of a query is then that of DuckDB alone, with any number of older rows. Rows come in the order in which
    they were logged. Thread-safe.
    """

    def __init__(
        self, appended: Callable[[str, int], Sequence[tuple[int, Document]]], declared: Mapping[str, Schema]
    ) -> None:
        """`appended` gives the rows of a table under a number above the one given, each with its number."""
        import duckdb_kql

        self._connection = duckdb_kql.connect()
        self._lock = threading.Lock()
        self._appended = appended
        self._schemas = {name: dict(schema) for name, schema in declared.items()}
        self._last = dict.fromkeys(declared, -1)
        for name, schema in self._schemas.items():
            self._create(name, schema)

    def run_query(self, query: str, start: datetime | None, end: datetime | None) -> QueryTable:
        """Run a Kusto query over the rows whose TimeGenerated lies in [start, end]; None means no limit.

        Raises QueryError, also for the parts of the language that duckdb-kql does not translate.
        """
        import duckdb
        import duckdb_kql

        with self._lock:
            for name in identifiers(query):
                self._catch_up(name)
                if name in self._schemas:
                    self._show(name, start, end)
            try:
                relation = duckdb_kql.kql(
                    self._connection, _INGESTION_TIME.sub("TimeGenerated", query), allow_write=False
                )
                types = [_kusto_type(str(kind)) for kind in relation.types]
                rows = [[_json_value(value) for value in row] for row in relation.fetchall()]
                return QueryTable(list(relation.columns), types, rows)
            except duckdb_kql.KqlSyntaxError as error:
                raise QueryError("SyntaxError", "SYN0002", f"Query could not be parsed: {error}") from error
            except (duckdb_kql.KqlError, duckdb.Error) as error:
                raise QueryError("SemanticError", "SEM0100", _semantic_message(str(error))) from error

    def _create(self, name: str, schema: Schema) -> None:
        columns = ", ".join(f"{_quote(column)} {_DUCKDB_TYPES[kind]}" for column, kind in schema.items())
        self._connection.execute(f"CREATE TABLE {_rows_of(name)} ({columns})")

    def _catch_up(self, name: str) -> None:
        """Copy the rows that were logged since the last query; a new column has the type of its first value."""
        found = self._appended(name, self._last.get(name, -1))
        for first in range(0, len(found), _ROWS_AT_ONCE):
            some = found[first : first + _ROWS_AT_ONCE]
            rows = [row for _, row in some]
            self._know_columns(name, rows)
            self._insert(name, rows)
            self._last[name] = some[-1][0]

    def _know_columns(self, name: str, rows: Sequence[Document]) -> None:
        known = self._schemas.get(name, {})
        new: dict[str, str] = {}
        for column, value in ((column, value) for row in rows for column, value in row.items()):
            if column not in known and value is not None:
                new.setdefault(column, _type_of(value))
        if name not in self._schemas:
            self._create(name, new)
        else:
            for column, kind in new.items():
                self._connection.execute(
                    f"ALTER TABLE {_rows_of(name)} ADD COLUMN {_quote(column)} {_DUCKDB_TYPES[kind]}"
                )
        self._schemas[name] = known | new

    def _insert(self, name: str, rows: Sequence[Document]) -> None:
        types = self._schemas[name]
        # Each row is parsed once, and not once for every column.
        structure = json.dumps([dict.fromkeys(types, "JSON")])
        columns = ", ".join(
            f"CAST({_quote(column)} ->> '$' AS {_DUCKDB_TYPES[kind]})" for column, kind in types.items()
        )
        parsed = self._connection.sql(
            "SELECT unnest(from_json(CAST(? AS JSON), ?), max_depth := 2)", params=[json.dumps(rows), structure]
        )
        parsed.project(columns).insert_into(_rows_of(name))

    def _show(self, name: str, start: datetime | None, end: datetime | None) -> None:
        """Make a view with the table's own name of its rows in that time. Times are naive and in UTC here."""
        rows = self._connection.table(_rows_of(name))
        for way, at in ((">=", start), ("<=", end)):
            if at is not None:
                limit = at.astimezone(UTC).replace(tzinfo=None).isoformat(" ")
                rows = rows.filter(f"TimeGenerated {way} TIMESTAMP '{limit}'")
        rows.create_view(name, replace=True)


def _rows_of(name: str) -> str:
    return _quote(f"{name} rows")


def _semantic_message(message: str) -> str:
    if table := _MISSING_TABLE.search(message):
        return f"Failed to resolve table or column expression named '{table.group(1)}'"
    if column := _MISSING_COLUMN.search(message):
        return f"Failed to resolve column or scalar expression named '{column.group(1)}'"
    return message


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "long"
    if isinstance(value, float):
        return "real"
    return "string" if isinstance(value, str) else "dynamic"


def _kusto_type(duckdb_type: str) -> str:
    if duckdb_type.startswith("TIMESTAMP") or duckdb_type == "DATE":
        return "datetime"
    if duckdb_type.startswith("DECIMAL"):
        return "decimal"
    return _KUSTO_TYPES.get(duckdb_type, "dynamic")


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return timestamp(value if value.tzinfo else value.replace(tzinfo=UTC))
    if isinstance(value, timedelta):
        hours, rest = divmod(value.seconds, 3600)
        fraction = f".{value.microseconds:06d}0" if value.microseconds else ""
        return (f"{value.days}." if value.days else "") + f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}{fraction}"
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)
