"""The history that a replay runs on: labelled rows in batches, or recorded signals, read from files and checked. A file
goes in; a `Stream` or a list of signals comes out. Imports `anew.core` only.
"""
