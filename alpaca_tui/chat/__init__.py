"""The conversation, prompt formats and settings. Knows no screen and no Numba."""
