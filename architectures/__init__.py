"""Presets: dictionaries of the published networks, one module per data set. Copy one and change it."""
