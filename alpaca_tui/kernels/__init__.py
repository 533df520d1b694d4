"""Everything Numba: SIMD vocabulary, matrix products per block format, attention, the thread team."""
