"""Markdown of a message as rows of styled text: parsing, wrapping, tables, code, and streaming.

A message is one widget whatever its length. Textual's own Markdown widget makes about five widgets for
every item of a list and mounts the whole list anew with every piece of text that comes; here a flush parses
and wraps the open block only, and finished blocks are plain data.
"""
