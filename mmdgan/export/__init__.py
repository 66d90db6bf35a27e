"""Networks of a run for other programs: plain Keras, SavedModel, ONNX, each with a model card.

    export_network(run, "keras")       # run/export/<step>_keras/: generator.keras, README.md, samples.png

Importing this package imports neither TensorFlow nor NumPy.
"""

from mmdgan.export.card import model_card
from mmdgan.export.exporter import NETWORKS, Exported, export_network
from mmdgan.export.formats import FORMATS

__all__ = ["FORMATS", "NETWORKS", "Exported", "export_network", "model_card"]
