"""Everything Numba: SIMD vocabulary, matrix products per block format, attention, the thread team."""

from alpaca_tui.kernels.cache import prepare

prepare()  # before anything here imports Numba
