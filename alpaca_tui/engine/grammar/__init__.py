"""Grammars that a reply has to match."""
