"""The state of local Azure: documents in SQLite and files in a folder, so that a restart loses nothing."""

import json
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

Document = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, seq INTEGER PRIMARY KEY AUTOINCREMENT,
    UNIQUE (kind, key)
);
"""
# Above every key that begins with the text before it.
_LAST: Final = "\U0010ffff"


def section(document: Document, name: str) -> Document:
    """A nested object of a document, empty when it is missing or null."""
    return document.get(name) or {}


class Mirror:
    """A part of each document of one kind, kept decoded in memory, so that a search through many decodes none.

    Its values are shared and must not be changed. Inside a transaction it shows the state before the transaction.
    """

    def __init__(self, part: Callable[[Document], Document], lock: threading.RLock) -> None:
        self._part = part
        self._lock = lock
        self._folders: dict[str, dict[str, Document]] = {}

    def get(self, key: str) -> Document | None:
        """The part of one document, or None when there is none of that key."""
        folder, _, name = key.casefold().rpartition("/")
        return self._folders.get(folder, {}).get(name)

    def within(self, folder: str) -> list[Document]:
        """The parts of the documents whose key is folder, a slash and a name, oldest document first."""
        with self._lock:
            return list(self._folders.get(folder.casefold(), {}).values())

    def all(self) -> list[Document]:
        """All parts, folder by folder, and in each oldest document first."""
        with self._lock:
            return [part for folder in self._folders.values() for part in folder.values()]

    def apply(self, key: str, body: str | None) -> None:
        """Apply a change of a document, whose body is None when it was deleted; for the store only."""
        folder, _, name = key.rpartition("/")
        if body is None:
            self._folders.get(folder, {}).pop(name, None)
        else:
            self._folders.setdefault(folder, {})[name] = self._part(json.loads(body))


class DocumentStore:
    """JSON documents by (kind, key); keys compare case-insensitively, as ARM ids do. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._in_transaction = False
        self._changes: list[tuple[str, str, str | None]] = []
        self._hooks: list[Callable[[], None]] = []
        self._mirrors: dict[str, Mirror] = {}
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
        text, folded = json.dumps(body), key.casefold()
        with self.transaction():
            self._db.execute(
                "INSERT INTO documents (kind, key, body) VALUES (?, ?, ?)"
                " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
                (kind, folded, text),
            )
            self._changes.append((kind, folded, text))
        return body

    def create(self, kind: str, key: str, body: Document) -> bool:
        """Write the document unless the key exists; False if it does."""
        with self.transaction():
            if self.get(kind, key) is not None:
                return False
            self.put(kind, key, body)
        return True

    def delete(self, kind: str, key: str) -> bool:
        """Remove the document; False when there was none."""
        folded = key.casefold()
        with self.transaction():
            cursor = self._db.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, folded))
            self._changes.append((kind, folded, None))
            return cursor.rowcount == 1

    def list(self, kind: str, prefix: str = "") -> list[Document]:
        """Documents of a kind whose key starts with prefix, oldest first."""
        start = prefix.casefold()
        with self._lock:
            rows = self._db.execute(
                "SELECT body FROM documents WHERE kind = ? AND key >= ? AND key < ? ORDER BY seq",
                (kind, start, start + _LAST),
            ).fetchall()
        return [json.loads(row[0]) for row in rows]

    def append(self, kind: str, body: Document) -> None:
        """Add a document under the next number of its kind, counted from 0, for logs that only grow."""
        self.append_all(kind, [body])

    def append_all(self, kind: str, bodies: Iterable[Document]) -> None:
        """Add documents under the next numbers of their kind, all of them or none."""
        with self.transaction():
            last = self._db.execute("SELECT max(key) FROM documents WHERE kind = ?", (kind,)).fetchone()[0]
            first = 0 if last is None else int(last) + 1
            rows = [(kind, _number_key(number), json.dumps(body)) for number, body in enumerate(bodies, first)]
            self._db.executemany("INSERT INTO documents (kind, key, body) VALUES (?, ?, ?)", rows)
            self._changes += rows

    def appended(self, kind: str, after: int = -1) -> Sequence[tuple[int, Document]]:
        """The documents appended to a kind under a number above after, each with its number, oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT key, body FROM documents WHERE kind = ? AND key > ? ORDER BY key",
                (kind, _number_key(after) if after >= 0 else ""),
            ).fetchall()
        return [(int(key), json.loads(body)) for key, body in rows]

    def mirror(self, kind: str, part: Callable[[Document], Document]) -> Mirror:
        """The mirror of a kind; part selects what it keeps of each document, and only the first call's part is used."""
        with self._lock:
            if kind not in self._mirrors:
                mirror = self._mirrors[kind] = Mirror(part, self._lock)
                rows = self._db.execute("SELECT key, body FROM documents WHERE kind = ? ORDER BY seq", (kind,))
                for key, body in rows:
                    mirror.apply(key, body)
            return self._mirrors[kind]

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Write everything in the block or, when it raises, nothing; other threads wait. A nested one is part of it."""
        with self._lock:
            if self._in_transaction:
                yield
                return
            self._changes, self._hooks, self._in_transaction = [], [], True
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            else:
                self._db.execute("COMMIT")
                for kind, key, body in self._changes:
                    if (mirror := self._mirrors.get(kind)) is not None:
                        mirror.apply(key, body)
                hooks = self._hooks
            finally:
                self._in_transaction = False
        for hook in hooks:
            hook()

    def after_commit(self, hook: Callable[[], None]) -> None:
        """Call hook after the commit of the open transaction, without the lock; at once when none is open.

        One service wakes another in this way, because the other may hold its own lock while it waits for this one.
        """
        with self._lock:
            if self._in_transaction:
                self._hooks.append(hook)
                return
        hook()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        with self._lock:
            return iter(self._db.execute("SELECT kind, key FROM documents ORDER BY seq").fetchall())

    def close(self) -> None:
        """Close the database; the store cannot be used after it."""
        with self._lock:
            self._db.close()


def _number_key(number: int) -> str:
    return f"{number:09d}"
