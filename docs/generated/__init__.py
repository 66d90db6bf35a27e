"""Pages of the reference, written from the code when the documentation is built (`docs/hooks.py`)."""
