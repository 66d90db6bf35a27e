"""The training aids, each in its own file, and their settings (docs/training_aids.md)."""
