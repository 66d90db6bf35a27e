"""Public classes and builders show every argument: in `inspect.signature`, `help` and completion."""

import functools
import importlib
import inspect
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmdgan
from mmdgan import layers, losses, mmd
from mmdgan.core.errors import ConfigError
from mmdgan.losses import registry

_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
ROWS = np.random.default_rng(0).normal(size=(12, 3))
_KERAS = {"activity_regularizer", "trainable", "dtype", "autocast", "name"}


def _public():
    names = ["mmdgan", *(f"mmdgan.{m.name}" for m in pkgutil.iter_modules(mmdgan.__path__) if m.ispkg)]
    for name in names:
        package = importlib.import_module(name)
        for public in getattr(package, "__all__", ()):
            found = getattr(package, public)
            if inspect.isfunction(found) or inspect.isclass(found) and not issubclass(found, BaseException):
                yield f"{name}.{public}", found


def test_nothing_public_hides_its_arguments():
    checked = dict(_public())
    assert len(checked) > 120 and {"mmdgan.layers.ScaledConv2D", "mmdgan.losses.get"} <= checked.keys()
    for name, found in checked.items():
        starred = [p.name for p in inspect.signature(found).parameters.values() if p.kind in _STARRED]
        assert starred == {"mmdgan.losses.loss": ["aliases"], "mmdgan.sweeps.choice": ["values"]}.get(name, []), name
        bases = found.__mro__ if inspect.isclass(found) else ()
        others = {method for base in bases if not base.__module__.startswith("mmdgan.") for method in vars(base)}
        for base in bases:
            for method, function in vars(base).items():  # what Keras calls has the arguments that Keras passes
                if inspect.isfunction(function) and not method.startswith("_") and method not in others:
                    starred = [p for p in inspect.signature(function).parameters.values() if p.kind in _STARRED]
                    assert not starred, f"{name}.{method}"


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


def _shown(function):
    """The arguments of a function that are shown in place of `**options`, with their defaults."""
    shown = inspect.signature(function).parameters
    written = function.__code__.co_varnames[: function.__code__.co_argcount + function.__code__.co_kwonlyargcount]
    return {name: parameter.default for name, parameter in shown.items() if name not in written}


@pytest.mark.parametrize(
    ("function", "names", "options"),
    [
        (functools.partial(losses.get, "rep"), "rep_lambda sigma omega temperature", {"rep_lambda": 0.5}),
        (functools.partial(losses.resolve_options, "fixed_t"), "alpha beta lower_bound", {"alpha": (2.0,)}),
        (functools.partial(losses.mmd2, ROWS, 2 * ROWS), "sigma variance alpha beta", {"variance": 4.0}),
        (functools.partial(losses.witness, ROWS, ROWS, 2 * ROWS), "sigma variance alpha beta", {"sigma": 2.0}),
        (functools.partial(mmd.estimate, ROWS, 2 * ROWS, kernel="rational_quadratic"), "alpha beta", {"beta": 3.0}),
        (functools.partial(mmd.witness, ROWS, ROWS, 2 * ROWS, "energy"), "alpha beta", {}),
        (functools.partial(mmd.witness_extremes, ROWS, 2 * ROWS, 1), "alpha beta", {}),
        (functools.partial(mmd.two_sample_test, ROWS, 2 * ROWS, permutations=9), "alpha beta", {}),
        (
            functools.partial(losses.gradient_penalty, "rand_g_gp", tf.identity, ROWS, 2 * ROWS, seed=(0, 1)),
            "sigma variance alpha beta add_dot omega ref_normal",
            {"omega": 0.5},
        ),
    ],
    ids=lambda value: value.func.__name__ if callable(value) else "",
)
def test_the_options_that_a_function_shows_may_be_given(function, names, options):
    """A default that is shown may be passed too, and the errors of unknown options stay the library's."""
    shown = _shown(function.func)
    assert set(names.split()) <= shown.keys() and set(shown.values()) == {None}
    assert repr(function(**{**shown, **options})) == repr(function(**options))
    if options:
        with pytest.raises(ConfigError, match="sigmaa"):
            function(sigmaa=1.0)


def test_a_loss_of_ones_own_shows_its_options(monkeypatch):
    for name in ("ENTRIES", "_NAMES"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    for function in (losses.get, losses.resolve_options):
        monkeypatch.setattr(function, "__signature__", inspect.signature(function))

    @losses.loss("mine", source="here")
    def mine(score_gen, score_data, inputs, *, sharpness=2.0):
        """Mine."""

    assert "sharpness" in _shown(losses.get) and losses.get("mine", sharpness=3).options == {"sharpness": 3.0}
    facts = _shown(losses.loss)
    assert facts["score_size"] == 16 and "function" not in facts and "options" not in facts


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
