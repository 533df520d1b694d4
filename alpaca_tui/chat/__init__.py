"""The conversation: a tree of messages, prompt formats, settings, and the session that talks to an engine.

Knows no screen, no NumPy and no Numba.
"""
