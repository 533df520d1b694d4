"""What is on disk: containers, block formats, vocabularies. Knows nothing else of ours, and no Numba."""
