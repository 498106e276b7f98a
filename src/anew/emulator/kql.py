"""Kusto queries over rows in memory: rows become DuckDB tables, duckdb-kql translates and runs the query."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from anew.emulator.cloud import timestamp
from anew.emulator.state import Document

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

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
    """Every name in a query, among which are the tables it reads."""
    return set(_IDENTIFIER.findall(query))


def run_query(query: str, tables: Mapping[str, Sequence[Document]], schemas: Mapping[str, Schema]) -> QueryTable:
    """Run a Kusto query over tables of rows; columns no schema declares get the type of their first value.

    Raises QueryError, also for the parts of the language that duckdb-kql does not translate.
    """
    import duckdb
    import duckdb_kql

    with duckdb_kql.connect() as connection:
        for name in tables.keys() | schemas.keys():
            _load(connection, name, tables.get(name, ()), schemas.get(name, {}))
        try:
            relation = duckdb_kql.kql(connection, _INGESTION_TIME.sub("TimeGenerated", query), allow_write=False)
            types = [_kusto_type(str(kind)) for kind in relation.types]
            rows = [[_json_value(value) for value in row] for row in relation.fetchall()]
            return QueryTable(list(relation.columns), types, rows)
        except duckdb_kql.KqlSyntaxError as error:
            raise QueryError("SyntaxError", "SYN0002", f"Query could not be parsed: {error}") from error
        except (duckdb_kql.KqlError, duckdb.Error) as error:
            raise QueryError("SemanticError", "SEM0100", _semantic_message(str(error))) from error


def restrict(rows: Sequence[Document], start: datetime | None, end: datetime | None) -> list[Document]:
    """The rows whose TimeGenerated lies in [start, end]; an open end does not restrict."""
    return [
        row
        for row in rows
        if (start is None or datetime.fromisoformat(row["TimeGenerated"]) >= start)
        and (end is None or datetime.fromisoformat(row["TimeGenerated"]) <= end)
    ]


def _semantic_message(message: str) -> str:
    if table := _MISSING_TABLE.search(message):
        return f"Failed to resolve table or column expression named '{table.group(1)}'"
    if column := _MISSING_COLUMN.search(message):
        return f"Failed to resolve column or scalar expression named '{column.group(1)}'"
    return message


def _load(connection: "DuckDBPyConnection", name: str, rows: Sequence[Document], declared: Schema) -> None:
    types = dict(declared)
    for row in rows:
        for column, value in row.items():
            if value is not None:
                types.setdefault(column, _type_of(value))
    if not types:
        return
    columns = ", ".join(
        f"CAST(entry ->> {_path(column)} AS {_DUCKDB_TYPES[kind]}) AS {_quote(column)}"
        for column, kind in types.items()
    )
    entries = "SELECT unnest(CAST(? AS JSON[])) AS entry"
    # The names are quoted; the values travel as one parameter.
    statement = f"CREATE TABLE {_quote(name)} AS SELECT {columns} FROM ({entries})"  # noqa: S608
    connection.execute(statement, [json.dumps(list(rows))])


def _path(column: str) -> str:
    return "'$." + _quote(column).replace("'", "''") + "'"


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
        return _timespan(value)
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)


def _timespan(value: timedelta) -> str:
    hours, rest = divmod(value.seconds, 3600)
    clock = f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}"
    fraction = f".{value.microseconds:06d}0" if value.microseconds else ""
    return (f"{value.days}." if value.days else "") + clock + fraction
