"""`python -m alpaca_tui`."""

from alpaca_tui.cli import run

run()
