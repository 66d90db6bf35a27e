"""Where images come from before they are records: one module per form of source."""
