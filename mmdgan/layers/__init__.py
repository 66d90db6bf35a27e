"""Keras layers with spectral normalisation, and the block that one layer dictionary describes."""
