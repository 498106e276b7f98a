"""What local Azure remembers: documents in SQLite and files in a folder, so that a restart loses nothing."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Document = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, seq INTEGER PRIMARY KEY AUTOINCREMENT,
    UNIQUE (kind, key)
);
"""


def section(document: Document, name: str) -> Document:
    """A nested object of a document, empty when it is missing or null."""
    return document.get(name) or {}


class DocumentStore:
    """JSON documents by (kind, key); keys compare case-insensitively, as ARM ids do. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def get(self, kind: str, key: str) -> Document | None:
        """The document, or None when there is none of that key."""
        with self._lock:
            row = self._db.execute(
                "SELECT body FROM documents WHERE kind = ? AND key = ?", (kind, key.casefold())
            ).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, kind: str, key: str, body: Document) -> Document:
        """Write the document, replacing one of the same key in its place."""
        with self._lock:
            self._db.execute(
                "INSERT INTO documents (kind, key, body) VALUES (?, ?, ?)"
                " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
                (kind, key.casefold(), json.dumps(body)),
            )
        return body

    def create(self, kind: str, key: str, body: Document) -> bool:
        """Write the document unless the key is taken; False when it was."""
        with self._lock:
            cursor = self._db.execute(
                "INSERT OR IGNORE INTO documents (kind, key, body) VALUES (?, ?, ?)",
                (kind, key.casefold(), json.dumps(body)),
            )
            return cursor.rowcount == 1

    def delete(self, kind: str, key: str) -> bool:
        """Remove the document; False when there was none."""
        with self._lock:
            cursor = self._db.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key.casefold()))
            return cursor.rowcount == 1

    def list(self, kind: str, prefix: str = "") -> list[Document]:
        """Documents of a kind whose key starts with prefix, oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT body FROM documents WHERE kind = ? AND substr(key, 1, ?) = ? ORDER BY seq",
                (kind, len(prefix), prefix.casefold()),
            ).fetchall()
        return [json.loads(row[0]) for row in rows]

    def locked(self) -> threading.RLock:
        """The lock to hold around a read-modify-write: ``with store.locked(): ...``."""
        return self._lock

    def append(self, kind: str, body: Document) -> None:
        """Add a document under the next number of its kind, for logs that only grow."""
        with self._lock:
            last = self._db.execute("SELECT max(key) FROM documents WHERE kind = ?", (kind,)).fetchone()[0]
            self.put(kind, f"{0 if last is None else int(last) + 1:09d}", body)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        with self._lock:
            return iter(self._db.execute("SELECT kind, key FROM documents ORDER BY seq").fetchall())

    def close(self) -> None:
        """Close the database; the store cannot be used after it."""
        self._db.close()
