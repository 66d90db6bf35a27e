"""Blocks against compositions of TensorFlow's own operations: what no golden array holds, because it crashed there."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmdgan import build_network
from mmdgan.core.errors import DataError, DesignError

CLASSES = 3
LABELS = np.array([[0], [2], [1], [2], [0]], "int32")


def images(*shape):
    return np.random.default_rng(1).standard_normal((5, *(shape or (6, 6, 4)))).astype("float32")


def network(layer, shape=(4, 6, 6), **options):
    """A network of one layer, its variables all random: what starts at zero or one would hide mistakes."""
    keras.utils.set_random_seed(0)
    options = {"num_class": CLASSES, "data_format": "channels_last", **options}
    net = build_network([{"name": "l", **layer}], shape, **options)
    rng = np.random.default_rng(2)
    for variable in net.variables:
        low = 0.5 if variable.name in ("gamma", "scale", "moving_variance") else -0.5
        variable.assign(rng.uniform(low, low + 1, variable.shape))
    return net


def values(net):
    """The variables by slot and name."""
    return {"/".join(v.path.split("/")[2:]): np.asarray(v) for v in net.variables}


def of_label(tensor):
    return tensor[LABELS[:, 0]]


def conv(x, kernel, strides=1):
    return tf.nn.conv2d(x, kernel, strides, "SAME").numpy()


def inference_norm(x, v, slot):
    return (x - v[f"{slot}/moving_mean"]) / np.sqrt(v[f"{slot}/moving_variance"] + 1e-3)


def conditional_norm(x, v, slot):
    return inference_norm(x, v, slot) * of_label(v[f"{slot}/scale"]) + of_label(v[f"{slot}/offset"])


def test_a_residual_block_hands_the_labels_to_kernels_biases_and_norms():
    net = network({"type": "res", "op": "cck", "out": 5, "bias": "cb", "act": "relu", "kernel": [3, 3, 1]})
    v, x = values(net), images()

    def scaled(x, slot):
        return conv(x, v[f"kernel_{slot}/kernel"]) * (1 + of_label(v[f"kernel_{slot}/c_kernel"])) + of_label(
            v[f"bias_{slot}/c_bias"]
        )

    main = scaled(np.maximum(scaled(np.maximum(x, 0), "0"), 0), "1")
    expected = main + scaled(x, "sc")
    np.testing.assert_allclose(net({"x": x, "y": LABELS}), expected, rtol=1e-4, atol=1e-5)


def test_a_residual_block_with_transposed_convolution_goes_on_with_a_plain_one():
    net = network({"type": "res", "op": "tc", "out": 5, "act": "relu", "kernel": 4, "strides": [2, 1, 2]})
    v, x = values(net), images()

    def up(x, slot):
        transposed = tf.nn.conv2d_transpose(x, v[f"kernel_{slot}/kernel"], (5, 12, 12, 5), 2, "SAME").numpy()
        return transposed + v[f"bias_{slot}/bias"]

    main = conv(np.maximum(up(np.maximum(x, 0), "0"), 0), v["kernel_1/kernel"]) + v["bias_1/bias"]
    np.testing.assert_allclose(net(x), main + up(x, "sc"), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", [None, "bn", "cbn"])
@pytest.mark.parametrize("bias", ["b", False])
def test_attention_works_with_any_norm_and_bias(norm, bias):
    net = network({"type": "nl", "out": [2, 2, 4], "kernel": 1, "act_nm": norm, "bias": bias})
    v, x = values(net), images()
    # With 'cbn' a layer's bias is None whatever was written, and None means a common bias for the queries.
    f = conv(x, v["f_x/kernel"]) + (0 if bias is False and norm != "cbn" else v["bias_f/bias"])
    g, h = conv(x, v["g_x/kernel"]), conv(x, v["h_x/kernel"])
    expected = np.empty_like(x)
    for n in range(5):
        logits = f[n].reshape(36, 2) @ g[n].reshape(36, 2).T / np.sqrt(2)
        weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        expected[n] = (weights @ h[n].reshape(36, 4)).reshape(6, 6, 4)
    if norm == "bn":
        expected = inference_norm(expected, v, "BN_1") + v["BN_1/beta"]
    elif norm == "cbn":
        expected = conditional_norm(expected, v, "BN_1")
    expected = x + v["k_x/kernel"] * expected
    inputs = {"x": x, "y": LABELS} if norm == "cbn" else x
    np.testing.assert_allclose(net(inputs), expected, rtol=1e-4, atol=1e-5)


def test_the_attention_scalar_stays_between_minus_one_and_one_with_spectral_norm():
    for w_nm, largest in (("s", 1.0), (None, 5.0)):
        net = network({"type": "nl", "out": [2, 2, 4], "kernel": 1, "w_nm": w_nm})
        scalar = net.blocks[0].sublayers["k_x"].kernel
        optimizer = keras.optimizers.SGD(1.0)
        optimizer.build([scalar])
        optimizer.apply([tf.constant(-5.0 + float(scalar))], [scalar])
        assert float(scalar) == pytest.approx(largest)


def test_a_projection_is_normalised_and_as_released_it_is_not():
    layer = {"type": "project", "op": "d", "out": 1, "act": "tanh", "w_nm": "s", "act_k": 1.7}
    x = images(7)
    results = {}
    for legacy in (False, True):
        net = network(layer, (7,), legacy=legacy)
        v = values(net)
        v_row, w = v["project/in_rand"], v["project/kernel"]
        # 3 classes by 7 features: the vector lives on the smaller side
        sigma = np.linalg.norm(v_row @ w)
        plain = np.tanh(x @ v["kernel/kernel"] * 1.7 / np.linalg.norm(v["kernel/kernel"]) + v["bias/bias"])
        row = (of_label(w) * x).sum(axis=1, keepdims=True)
        results[legacy] = net({"x": x, "y": LABELS})
        np.testing.assert_allclose(results[legacy], plain + row / (1 if legacy else sigma), rtol=1e-4, atol=1e-5)
        before = net.blocks[0].sublayers["project"].in_rand.numpy().copy()
        net({"x": x, "y": LABELS}, training=True)
        assert not np.allclose(before, net.blocks[0].sublayers["project"].in_rand)
    assert not np.allclose(results[False], results[True])


def test_crelu_doubles_the_channels_and_lrn_divides_by_the_channels_root_mean_square():
    net = network({"out": 5, "act": "crelu", "act_nm": "lrn", "bias": False})
    y = conv(images(), values(net)["kernel/kernel"])
    y = y / np.sqrt(np.mean(y**2, axis=-1, keepdims=True) + 1e-10)
    expected = np.concatenate([np.maximum(y, 0), np.maximum(-y, 0)], -1)
    np.testing.assert_allclose(net(images()), expected, rtol=1e-4, atol=1e-5)


def test_an_identity_layer_works_first_on_images_and_on_flat_features():
    for shape in ((6, 6, 4), (7,)):
        net = network({"op": "i", "act": "relu"}, shape if len(shape) == 1 else (4, 6, 6))
        assert net.variables == []
        np.testing.assert_array_equal(net(images(*shape)), np.maximum(images(*shape), 0))


def test_pools_need_no_out():
    x = images()
    net = network({"op": "avg", "kernel": 2, "strides": 2, "bias": False})
    np.testing.assert_allclose(net(x), x.reshape(5, 3, 2, 3, 2, 4).mean((2, 4)), rtol=1e-5, atol=1e-6)
    net = network({"op": "sum", "kernel": 2, "strides": 2})
    expected = x.reshape(5, 3, 2, 3, 2, 4).sum((2, 4)) + values(net)["bias/bias"]
    np.testing.assert_allclose(net(x), expected, rtol=1e-5, atol=1e-5)


def test_fractional_factors_scale_images():
    net = network({"out": 3, "scale": ["bil", 1.5]})
    assert net(images()).shape == (5, 9, 9, 3)
    down = network({"out": 3, "scale": ["bil", -1.5]})
    assert down(images()).shape == (5, 4, 4, 3)


def test_pg_paper_scales_kernels_when_they_are_used():
    layer = {"op": "d", "out": 6, "act": "relu", "bias": False}
    net = network(layer, (7,), initializer="pg_paper")
    expected = np.maximum(images(7) @ values(net)["kernel/kernel"] * np.sqrt(2 / 7), 0)
    np.testing.assert_allclose(net(images(7)), expected, rtol=1e-5)
    spectral = network({**layer, "w_nm": "s"}, (7,), initializer="pg_paper")
    v = values(spectral)
    sigma = np.linalg.norm(v["kernel/kernel"] @ v["kernel/in_rand"].T)
    np.testing.assert_allclose(spectral(images(7)), np.maximum(images(7) @ v["kernel/kernel"] / sigma, 0), rtol=1e-4)


def test_labels_are_asked_for_and_checked():
    net = network({"op": "d", "out": 4, "bias": "cb"}, (7,))
    x = images(7)
    with pytest.raises(DataError, match="'net' is conditional on 3 classes"):
        net(x)
    with pytest.raises(DataError, match="'net' is conditional on 3 classes"):
        net({"x": x})
    with pytest.raises(DataError, match=r"integers of shape \(5, 1\), not \(5,\)\.$"):
        net({"x": x, "y": LABELS[:, 0]})
    with pytest.raises(DataError, match=r"integers of shape \(N, 1\), not float32"):
        net({"x": x, "y": LABELS.astype("float32")})
    with pytest.raises(DataError, match=r"lie in 0\.\.2"):
        net({"x": x, "y": LABELS + 1})
    plain = network({"op": "d", "out": 4}, (7,))
    np.testing.assert_array_equal(plain(x), plain({"x": x, "y": LABELS}))
    with pytest.raises(DesignError, match="num_class"):
        network({"op": "d", "out": 4, "bias": "cb"}, (7,), num_class=0)


def test_inputs_of_another_shape_are_refused():
    """A flat input used to end the process in TensorFlow's own check, and another size was computed."""
    net = network({"out": 3, "w_nm": "s"})
    for shape in ((5, 144), (5, 5, 5, 4), (5, 4, 6, 6)):
        with pytest.raises(DataError, match=r"^The network 'net' takes inputs of shape \(None, 6, 6, 4\), not \(5, "):
            net(np.zeros(shape, "float32"))
