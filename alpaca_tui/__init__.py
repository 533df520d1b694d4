"""A full-screen terminal chat for LLaMA/Alpaca models on the CPU."""

__version__ = "0.1.0"
