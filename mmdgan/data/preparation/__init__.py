"""From a source of images to a data set of TFRecord files."""
