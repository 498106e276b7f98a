"""The state of one local Azure and the tools that every service needs: documents in SQLite, a journal, an event bus,
a timer, connections that can be reset, and asset URIs. Every other room gets a `Cloud` from here. It imports no other
room.
"""
