"""Networks with links and several outputs against the same chains applied by hand."""

import keras
import numpy as np
import pytest

from mmdgan import build_network

SHAPE = (4, 6, 6)
X = np.random.default_rng(1).standard_normal((3, 6, 6, 4)).astype("float32")


def graph(layers, links, outputs=None, **options):
    keras.utils.set_random_seed(0)
    design = {"layers": [{"kernel": 1, "act": "tanh", **layer} for layer in layers], "links": links}
    if outputs:
        design["outputs"] = outputs
    return build_network(design, SHAPE, **{"data_format": "channels_last", **options})


def apply(net, name, x):
    """What the layer of that name makes of x, from its weights."""
    block = next(block for block in net.blocks if block.name == name)
    kernel, bias = (np.asarray(block.sublayers[slot].weights[0]) for slot in ("kernel", "bias"))
    return np.tanh(np.einsum("nhwi,io->nhwo", x, kernel[0, 0]) + bias)


LINKS = {
    "concat": (
        [{"name": "a", "out": 2}, {"name": "b", "out": 3}, {"name": "c", "out": 4}],
        [{"from": ["input"], "to": ["a", "b"], "how": None}, {"from": ["a", "b"], "to": ["c"], "how": "concat"}],
        lambda net, x: apply(net, "c", np.concatenate([apply(net, "a", x), apply(net, "b", x)], -1)),
    ),
    "sum": (
        [{"name": "c", "out": 4}, {"name": "b", "out": 3}, {"name": "a", "out": 3}],
        [{"from": ["a", "b"], "to": ["c"], "how": "sum"}, {"from": ["input"], "to": ["a", "b"]}],
        lambda net, x: apply(net, "c", apply(net, "a", x) + apply(net, "b", x)),
    ),
    "split": (
        [{"name": "a", "out": 2}, {"name": "b", "out": 3}, {"name": "c", "out": 4}],
        [
            {"from": ["input"], "to": ["a", "b"], "how": "split"},
            {"from": ["b", "a"], "to": ["c"], "how": "concat"},
        ],
        lambda net, x: apply(net, "c", np.concatenate([apply(net, "b", x[..., 2:]), apply(net, "a", x[..., :2])], -1)),
    ),
    "pairwise": (
        [{"name": n, "out": 2} for n in "abcd"] + [{"name": "e", "out": 1}],
        [
            {"from": ["input"], "to": ["a", "b"]},
            {"from": ["a", "b"], "to": ["d", "c"]},
            {"from": ["c", "d"], "to": ["e"], "how": "sum"},
        ],
        lambda net, x: apply(net, "e", apply(net, "d", apply(net, "a", x)) + apply(net, "c", apply(net, "b", x))),
    ),
}


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("how", LINKS)
def test_links_join_layers_as_they_say(how, data_format):
    layers, links, by_hand = LINKS[how]
    net = graph(layers, links, data_format=data_format)
    if data_format == "channels_last":
        result = net(X)
    else:
        result = np.transpose(net(X.transpose(0, 3, 1, 2)), (0, 2, 3, 1))
    np.testing.assert_allclose(result, by_hand(net, X), rtol=1e-4, atol=1e-6)


def test_several_outputs_come_by_name():
    net = graph(
        [{"name": "trunk", "out": 2}, {"name": "score", "out": 1}, {"name": "classes", "out": 5}],
        [{"from": ["input"], "to": ["trunk"]}, {"from": ["trunk"], "to": ["score", "classes"]}],
        outputs=["score", "classes", "trunk"],
    )
    results = net(X)
    trunk = apply(net, "trunk", X)
    assert list(results) == ["score", "classes", "trunk"]
    for name, expected in (("trunk", trunk), ("score", apply(net, "score", trunk))):
        np.testing.assert_allclose(results[name], expected, rtol=1e-4, atol=1e-6)
    assert net.compute_output_shape((3, 6, 6, 4)) == {
        "score": (3, 6, 6, 1),
        "classes": (3, 6, 6, 5),
        "trunk": (3, 6, 6, 2),
    }


def test_a_graph_is_saved_and_loaded(tmp_path):
    layers, links, _ = LINKS["split"]
    net = graph(layers, links)
    net.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(loaded(X), net(X))


def test_labels_reach_every_branch():
    net = graph(
        [{"name": "a", "out": 2, "bias": "cb"}, {"name": "b", "out": 2}, {"name": "c", "out": 1, "bias": "cb"}],
        [{"from": ["input"], "to": ["a", "b"]}, {"from": ["a", "b"], "to": ["c"], "how": "sum"}],
        num_class=2,
    )
    for variable in net.variables:
        if variable.name == "c_bias":
            variable.assign(np.arange(variable.shape[0] * variable.shape[-1]).reshape(variable.shape))
    labels = np.array([[0], [1], [0]], "int32")
    a, b, c = (block.sublayers for block in net.blocks)
    hidden_a = np.einsum("nhwi,io->nhwo", X, np.asarray(a["kernel"].kernel)[0, 0])
    hidden_a = np.tanh(hidden_a + np.asarray(a["bias"].c_bias)[labels[:, 0]])
    total = hidden_a + apply(net, "b", X)
    scores = np.einsum("nhwi,io->nhwo", total, np.asarray(c["kernel"].kernel)[0, 0])
    expected = np.tanh(scores + np.asarray(c["bias"].c_bias)[labels[:, 0]])
    np.testing.assert_allclose(net({"x": X, "y": labels}), expected, rtol=1e-4, atol=1e-6)
