"""The choice of the next token.

`sampler` is the chain, `cuts` and `penalties` are what it is made of, `candidates` finds the likeliest tokens
without sorting all of them.
"""

from alpaca_tui.engine.sampling.sampler import Constraint, Sampler, Vocabulary, checked

__all__ = ["Constraint", "Sampler", "Vocabulary", "checked"]
