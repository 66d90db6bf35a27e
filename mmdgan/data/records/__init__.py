"""TFRecord files: frames, examples, reading and writing."""
