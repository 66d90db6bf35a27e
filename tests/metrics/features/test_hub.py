"""Features of keras-hub's backbones: tiny ones, built from a configuration and saved as presets."""

import sys

import numpy as np
import pytest

from mmdgan.core.errors import MetricError
from mmdgan.metrics.features.keras import HUB_PRESETS, KerasFeatures
from mmdgan.metrics.features.resolve import resolve

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 3), dtype=np.uint8)
SCALE, OFFSET = [1 / 50, 1 / 60, 1 / 70], [-2.0, -1.5, -1.0]


@pytest.fixture
def hub():
    return pytest.importorskip("keras_hub", reason="the extra mmdgan[hub] is not installed")


def _save(hub, backbone, folder):
    backbone.save_to_preset(str(folder))
    converter = hub.layers.ImageConverter(image_size=(28, 28), scale=SCALE, offset=OFFSET)
    converter.save_to_preset(str(folder))
    return f"hub:{folder}"


def _scaled():
    return IMAGES * np.float32(SCALE) + np.float32(OFFSET)


def test_the_class_token_of_dinov2(hub, tmp_path):
    sizes = {"num_layers": 2, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}
    shapes = {"image_shape": (28, 28, 3), "position_embedding_shape": (28, 28)}
    backbone = hub.models.DINOV2Backbone(patch_size=14, **sizes, **shapes)
    extractor = resolve(_save(hub, backbone, tmp_path / "tiny"), None)
    features, logits = extractor.extract(IMAGES)
    np.testing.assert_allclose(features, backbone({"images": _scaled()})[:, 0], rtol=1e-4, atol=1e-5)
    assert (extractor.label, extractor.feature_count, logits.shape) == ("hub:tiny", 16, (5, 0))
    assert extractor.protocol()["feature_source"].startswith("keras-hub ")


def test_the_projected_embedding_of_clip(hub, tmp_path):
    sizes = {"hidden_dim": 16, "num_layers": 2, "num_heads": 2, "intermediate_dim": 32}
    vision = hub.models.CLIPVisionEncoder(patch_size=14, image_shape=(28, 28, 3), **sizes)
    text = hub.models.CLIPTextEncoder(vocabulary_size=20, embedding_dim=16, **sizes)
    backbone = hub.models.CLIPBackbone(vision_encoder=vision, text_encoder=text, projection_dim=8)
    extractor = KerasFeatures(_save(hub, backbone, tmp_path / "clip"))
    features, _ = extractor.extract(IMAGES)
    assert features.shape == (5, 8)
    np.testing.assert_allclose(features, backbone.get_vision_embeddings(_scaled()), rtol=1e-4, atol=1e-5)


def test_named_presets_are_keras_hubs(hub):
    known = {**hub.models.DINOV2Backbone.presets, **hub.models.CLIPBackbone.presets}
    assert set(HUB_PRESETS.values()) <= set(known)


def test_weights_that_cannot_be_fetched_are_one_sentence(hub):
    with pytest.raises(
        MetricError, match="weights of nowhere cannot be loaded .*hub:FOLDER, or choose other --features"
    ):
        KerasFeatures("hub:nowhere")


def test_without_keras_hub(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(MetricError, match=r"dinov2_large needs keras-hub .*mmdgan\[hub\]"):
        resolve("dinov2", None)
