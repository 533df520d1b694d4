"""Where conversations are kept: one SQLite file, written and read by one thread of the program.

`archive.Archive` is that thread; `chats`, `saving` and `search` hold what it does, as functions of a
connection.
"""
