"""Public classes and builders show every argument: in `inspect.signature`, `help` and completion."""

import importlib
import inspect
import pkgutil

import keras
import pytest

import mmdgan
from mmdgan import layers

_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_KERAS = {"activity_regularizer", "trainable", "dtype", "autocast", "name"}


def _public_classes():
    names = ["mmdgan", *(f"mmdgan.{m.name}" for m in pkgutil.iter_modules(mmdgan.__path__) if m.ispkg)]
    for name in names:
        package = importlib.import_module(name)
        for public in getattr(package, "__all__", ()):
            if inspect.isclass(found := getattr(package, public)) and not issubclass(found, BaseException):
                yield f"{name}.{public}", found


def test_no_public_class_hides_its_arguments():
    checked = dict(_public_classes())
    assert len(checked) > 40 and "mmdgan.layers.ScaledConv2D" in checked
    for name, found in checked.items():
        starred = [p.name for p in inspect.signature(found).parameters.values() if p.kind in _STARRED]
        assert not starred, name


def _layers():
    return [found for name in layers.__all__ if inspect.isclass(found := getattr(layers, name))]


@pytest.mark.parametrize("kind", _layers(), ids=lambda kind: kind.__name__)
def test_a_layer_takes_what_it_shows_and_describes_it(kind):
    shown = inspect.signature(kind).parameters
    required = {"units": 3, "filters": 3, "num_class": 4}
    given = {n: p.default if p.default is not p.empty else required[n] for n, p in shown.items()}
    layer = kind(**given)
    inspect.signature(layer)  # of its call, not of its class
    keys = set(layer.get_config()) - {"kernel_size", "strides", "padding"}
    assert keys - _KERAS <= set(shown)  # a layer is made again of its configuration
    text = inspect.getdoc(kind)
    for name in set(shown) - _KERAS:
        assert text.count(f"\n    {name}: ") == 1, name
    with pytest.raises((TypeError, ValueError)):
        kind(**given, nonsense=1)


def test_the_order_of_arguments():
    shown = inspect.signature(layers.ScaledConv2D)
    assert list(shown.parameters)[:4] == ["filters", "kernel_size", "strides", "padding"]
    assert shown.parameters["num_class"].kind == inspect.Parameter.KEYWORD_ONLY
    shown.bind(8, 3, num_class=10, use_bias=False, name="own")
    with pytest.raises(TypeError, match="use_bais"):
        shown.bind(8, 3, num_class=10, use_bais=False)
    with pytest.raises(TypeError, match="use_bias"):
        inspect.signature(layers.LabelProjection).bind(10, use_bias=True)
    assert list(inspect.signature(mmdgan.build_generator).parameters)[2:] == [
        "data_format",
        "precision",
        "spectral",
        "initializer",
        "legacy",
    ]


def test_a_layer_of_ones_own_shows_its_arguments_too():
    class Mine(layers.SpectralDense):
        """Mine.

        Args:
            temperature: Of the softmax.
        """

        fixed_arguments = ("activation",)

        def __init__(self, temperature: float = 1.0, *args, **kwargs):
            super().__init__(*args, activation="softmax", **kwargs)
            self.temperature = temperature

    shown = inspect.signature(Mine).parameters
    assert shown["units"].kind == inspect.Parameter.KEYWORD_ONLY and shown["units"].default is inspect.Parameter.empty
    assert next(iter(shown)) == "temperature" and "activation" not in shown and "gain" in shown
    assert "temperature: Of the softmax." in Mine.__doc__ and "units: Output features." in Mine.__doc__
    assert isinstance(Mine(2.0, 3), keras.layers.Layer)

    class Plain(layers.SpectralDense):
        pass

    assert inspect.signature(Plain) == inspect.signature(layers.SpectralDense) and Plain.__doc__ is None
