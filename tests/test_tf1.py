"""Import from a dict of arrays under the original's names."""

import numpy as np
import pytest
import tensorflow as tf

import mmdgan
from mmdgan import tf1
from mmdgan.errors import CheckpointError
from mmdgan.training import GanStep
from tests.test_networks import ARCHITECTURE


def make_gan():
    return GanStep(mmdgan.build_generator(ARCHITECTURE), mmdgan.build_discriminator(ARCHITECTURE), "rep", 1e-3, 1e-3)


def arrays_of(gan):
    """The state as the original would store it: channels-first vectors, powers of beta1 instead of step counts."""
    arrays = {}
    for name, variable in gan.state().items():
        value = variable.numpy()
        if name.endswith("/in_rand") and value.ndim == 4:
            value = value.transpose(0, 3, 1, 2)
        arrays[name] = value
    for index, suffix in ((0, ""), (1, "_1")):
        steps = int(arrays.pop(f"optimizer_{index}/iterations"))
        arrays[f"beta1_power{suffix}"] = np.float32(0.5 ** (steps + 1))
    return arrays


def test_round_trip_through_the_originals_layout():
    real = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    source, target = make_gan(), make_gan()
    for _ in range(3):
        source.step(real)
    tf1.import_checkpoint(arrays_of(source), target)
    for name, variable in source.state().items():
        np.testing.assert_array_equal(target.state()[name], variable, err_msg=name)
    assert int(target.iterations) == 3
    a, b = source.step(real), target.step(real)
    assert float(a["loss_dis"]) == pytest.approx(float(b["loss_dis"]), rel=1e-5)


def test_from_a_checkpoint_file(tmp_path):
    source, target = make_gan(), make_gan()
    arrays = arrays_of(source)
    prefix = str(tmp_path / "model.ckpt-0")
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=[tf.constant(value) for value in arrays.values()],
    )
    tf1.import_checkpoint(prefix, target)
    for name, variable in source.state().items():
        np.testing.assert_array_equal(target.state()[name], variable, err_msg=name)
    with pytest.raises(CheckpointError, match="nowhere"):
        tf1.import_checkpoint(tmp_path / "nowhere", target)


def test_models_alone():
    source = make_gan()
    arrays = arrays_of(source)
    generator, critic = mmdgan.build_generator(ARCHITECTURE), mmdgan.build_discriminator(ARCHITECTURE)
    tf1.import_checkpoint(arrays, generator)
    np.testing.assert_array_equal(generator.get_weights()[0], source.generator.get_weights()[0])
    tf1.import_checkpoint(arrays, (generator, critic))
    np.testing.assert_array_equal(critic.get_weights()[1], source.discriminator.get_weights()[1])


def test_adams_age_falls_back_on_the_global_step_when_its_power_has_underflown():
    arrays = arrays_of(make_gan()) | {"beta1_power": np.float32(0), "global_step": np.int64(5000)}
    target = make_gan()
    tf1.import_checkpoint(arrays, target)
    assert int(target.optimizer_dis.iterations) == 5000
    assert int(target.optimizer_gen.iterations) == 0


def test_what_is_missing_or_ill_shaped_is_named_and_nothing_changes():
    gan = make_gan()
    before = {name: variable.numpy() for name, variable in gan.state().items()}
    arrays = {name: value + 1 for name, value in arrays_of(gan).items()}
    missing = {name: value for name, value in arrays.items() if name != "dis/l2/kernel/kernel"}
    with pytest.raises(CheckpointError, match="dis/l2/kernel/kernel"):
        tf1.import_checkpoint(missing, gan)
    with pytest.raises(CheckpointError, match=r"gen/l1/kernel/kernel.*\(3, 3\)"):
        tf1.import_checkpoint(arrays | {"gen/l1/kernel/kernel": np.zeros((3, 3))}, gan)
    for name, variable in gan.state().items():
        np.testing.assert_array_equal(variable, before[name])
