"""Names, layouts and states of the original's checkpoints: from arrays, from files, whole or in parts."""

import numpy as np
import pytest
import tensorflow as tf

import mmdgan
from mmdgan import tf1
from mmdgan.core.errors import CheckpointError
from mmdgan.training import GanStep
from tests.helpers import golden_data
from tests.helpers.networks import SMALL

CLASSES = 3
CONDITIONAL = {
    **SMALL,
    "generator": [
        {"name": "l1", "op": "dck", "out": 32, "act": "relu", "act_nm": "cbn", "out_reshape": [8, 2, 2]},
        {"name": "l2", "type": "res", "out": 6, "act": "relu", "act_nm": "cbn", "scale": ["unpool", 2]},
        {"name": "l3", "op": "tc", "out": 3, "kernel": 4, "strides": 2, "bias": "bcb", "act": "tanh"},
    ],
    "discriminator": [
        {"name": "l1", "op": "cck", "out": 4, "strides": 2, "act": "lrelu", "w_nm": "s"},
        {"name": "l2", "type": "nl", "out": [2, 2, 4], "act_nm": "bn", "kernel": 1, "w_nm": "s", "out_reshape": [64]},
        {"name": "l3", "type": "project", "op": "d", "out": 1, "w_nm": "s"},
    ],
}


def make_gan(loss="rep", optimizer="adam", architecture=SMALL, **options):
    num_class = CLASSES if architecture is CONDITIONAL else 0
    networks = mmdgan.build_generator(architecture, num_class), mmdgan.build_discriminator(architecture, num_class)
    return GanStep(*networks, loss, 1e-3, 1e-3, optimizer, **options)


def filled(**options):
    """A GanStep whose every variable and slot has values of its own; 3 steps old."""
    gan, rng = make_gan(**options), np.random.default_rng(0)
    for variable in gan.state().values():
        variable.assign(rng.standard_normal(variable.shape) if variable.dtype.is_floating else 3)
    return gan


def theirs(name, array):
    """An array as a channels_first network of the original would have it."""
    turned = {"in_rand", "c_kernel", "c_bias", "scale", "offset"} & set(name.split("/"))
    return array.transpose(0, 3, 1, 2) if turned and array.ndim == 4 else array


def arrays_of(gan):
    """The state as the original would store it: channels first, powers of Adam's betas instead of step counts."""
    arrays = {name: theirs(name, variable.numpy()) for name, variable in gan.state().items()}
    for index, suffix in ((0, ""), (1, "_1")):
        steps = int(arrays.pop(f"optimizer_{index}/iterations"))
        arrays[f"beta1_power{suffix}"] = np.float32(0.5 ** (steps + 1))
        arrays[f"beta2_power{suffix}"] = np.float32(0.999 ** (steps + 1))
    return arrays


def write_checkpoint(prefix, arrays):
    """Writes a TensorFlow 1 checkpoint, as its Saver does."""
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=[tf.constant(value) for value in arrays.values()],
    )


def assert_same_state(found, expected):
    for name, variable in expected.state().items():
        np.testing.assert_array_equal(found.state()[name], variable, err_msg=name)


@pytest.mark.parametrize("architecture", [SMALL, CONDITIONAL], ids=["plain", "conditional"])
def test_round_trip_through_the_originals_layout(architecture):
    source, target = filled(architecture=architecture), make_gan(architecture=architecture)
    tf1.import_checkpoint(arrays_of(source), target)
    assert_same_state(target, source)
    assert int(target.iterations) == int(target.optimizer_gen.iterations) == 3


def test_every_kind_of_variable_bears_the_originals_name():
    expected = {
        "gen/l1/kernel/c_kernel",
        "gen/l1/BN/scale",
        "gen/l1/BN/BN/moving_mean",
        "gen/l2/BN_0/offset",
        "gen/l2/BN_1/BN/moving_variance",
        "gen/l2/kernel_0/kernel",
        "gen/l2/bias_sc/bias",
        "gen/l3/bias/bias",
        "gen/l3/bias/c_bias",
        "gen/l3/bias/c_bias/Adam_1",
        "dis/l1/kernel/SN/in_rand",
        "dis/l1/kernel/c_kernel/Adam_0_1",
        "dis/l2/f_x/kernel",
        "dis/l2/f_x/SN/in_rand",
        "dis/l2/bias_f/bias",
        "dis/l2/BN_1/BN/beta",
        "dis/l2/k_x/kernel",
        "dis/l3/project/kernel",
        "dis/l3/project/SN/in_rand",
    }
    assert expected <= make_gan(architecture=CONDITIONAL).state().keys()


def test_class_tensors_and_vectors_are_turned_only_if_the_original_ran_channels_first():
    source = make_gan(architecture=CONDITIONAL).discriminator
    arrays = {tf1.original_name(v): np.random.default_rng(0).standard_normal(v.shape) for v in source.variables}
    tf1.import_checkpoint(arrays, source, data_format="channels_last")
    for variable in source.variables:
        expected = arrays[tf1.original_name(variable)].astype("float32")
        np.testing.assert_array_equal(variable.numpy(), expected, err_msg=variable.path)
    assert arrays["dis/l1/kernel/c_kernel"].shape == (3, 1, 1, 4)
    assert arrays["dis/l1/kernel/SN/in_rand"].shape == (3, 4, 4, 4)


def test_the_originals_checkpoint():
    """All of its variables find their place, and its networks do what they did (golden arrays)."""
    arrays, probe = golden_data.tf1_checkpoint(), golden_data.tf1_probe()
    networks = (mmdgan.build_generator(probe["architecture"]), mmdgan.build_discriminator(probe["architecture"]))
    gan = GanStep(*networks, "rep", 1e-3, 1e-3)
    tf1.import_checkpoint(arrays, gan)
    powers = {"beta1_power", "beta1_power_1", "beta2_power", "beta2_power_1"}
    assert arrays.keys() - powers == gan.state().keys() - {"optimizer_0/iterations", "optimizer_1/iterations"}
    assert [int(gan.state()[f"optimizer_{i}/iterations"]) for i in (0, 1)] == [60, 60]
    generated = gan.generate(probe["codes"]).numpy().transpose(0, 3, 1, 2)
    np.testing.assert_allclose(generated, probe["generated_nchw"], rtol=0, atol=1e-5)
    scores = gan.discriminator(probe["images_uint8_nhwc"] / np.float32(127.5) - 1)
    largest = np.abs(probe["scores"]).max()
    np.testing.assert_allclose(scores, probe["scores"], rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("name", ["{}", "{}.index", "{}.data-00000-of-00001", "folder"])
def test_from_a_checkpoint_file(name, tmp_path):
    source, target = filled(), make_gan()
    write_checkpoint(tmp_path / "model.ckpt-2", {"global_step": np.int32(2)})
    write_checkpoint(tmp_path / "model.ckpt-3", arrays_of(source))
    # As copied from the computer on which it was written.
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/elsewhere/model.ckpt-3"\n')
    tf1.import_checkpoint(tmp_path if name == "folder" else name.format(tmp_path / "model.ckpt-3"), target)
    assert_same_state(target, source)


def test_no_checkpoint_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere: there is none in .*cifar\.ckpt-100000"):
        tf1.import_checkpoint(tmp_path / "nowhere", make_gan())
    write_checkpoint(tmp_path / "model.ckpt-7", {"global_step": np.int32(7)})
    with pytest.raises(CheckpointError, match=r"nowhere: .* holds .*model\.ckpt-7;"):
        tf1.import_checkpoint(tmp_path / "nowhere", make_gan())
    with pytest.raises(CheckpointError, match=r"holds .*model\.ckpt-7;"):
        tf1.import_checkpoint(tmp_path, make_gan())
    (tmp_path / "model.ckpt-7.data-00000-of-00001").unlink()
    with pytest.raises(CheckpointError, match=r"model\.ckpt-7 cannot be read"):
        tf1.import_checkpoint(tmp_path / "model.ckpt-7", make_gan())


def test_models_alone():
    source = filled()
    arrays = arrays_of(source)
    generator, critic = mmdgan.build_generator(SMALL), mmdgan.build_discriminator(SMALL)
    tf1.import_checkpoint(arrays, generator)
    np.testing.assert_array_equal(generator.get_weights()[0], source.generator.get_weights()[0])
    tf1.import_checkpoint(arrays, (generator, critic))
    np.testing.assert_array_equal(critic.get_weights()[1], source.discriminator.get_weights()[1])


@pytest.mark.parametrize(("optimizer", "kind"), [("rmsprop", "RMSProp"), ("momentum", "Momentum"), ("sgd", None)])
def test_slots_of_the_other_optimisers(optimizer, kind):
    source, target = filled(optimizer=optimizer), make_gan(optimizer=optimizer)
    arrays = {name: array for name, array in arrays_of(source).items() if "beta" not in name or "/" in name}
    slots = [name for name in arrays if kind and f"/{kind}_" in name]
    assert ("gen/l2/BN/BN/gamma/" + f"{kind}_1" in slots) == (kind is not None)
    if optimizer == "rmsprop":  # TensorFlow 1 keeps the momentum, here none, in a second slot
        arrays |= {f"{name}_1": np.zeros_like(arrays[name]) for name in slots}
    tf1.import_checkpoint(arrays, target)
    assert_same_state(target, source)


def iterations(arrays, **options):
    """The ages of both optimisers after an import: (critic's, generator's)."""
    target = make_gan(**options)
    tf1.import_checkpoint(arrays, target)
    return int(target.optimizer_dis.iterations), int(target.optimizer_gen.iterations)


def test_adams_age_when_beta1s_power_has_underflown():
    arrays = arrays_of(make_gan()) | {"global_step": np.int32(5000), "beta1_power": np.float32(0)}
    rounded = np.float32(0.999**5003)  # many roundings later
    assert iterations(arrays | {"beta2_power": rounded}) == (5000, 0)
    assert iterations(arrays | {"beta2_power": np.float32(0)}) == (5000, 0)
    # A critic that was updated at every fifth step.
    assert iterations(arrays | {"beta2_power": np.float32(0.999**1001)}) == (1000, 0)


def test_the_only_adam_has_the_first_powers():
    arrays = arrays_of(make_gan(optimizer=("momentum", "adam"))) | {"global_step": np.int32(9)}
    arrays = {name: array for name, array in arrays.items() if not name.startswith("beta")}
    arrays |= {"beta1_power": np.float32(0.5**5), "beta2_power": np.float32(0.999**5)}
    assert iterations(arrays, optimizer=("momentum", "adam")) == (9, 4)


@pytest.mark.parametrize(
    ("loss", "names"),
    [
        ("mmd_g_mix", {"average": "coin/gen_average", "probability": "coin/prob"}),
        ("rand_g_mix", {"average": "coin/gr_average", "probability": "coin/prob"}),
        ("ins_noise", {"average": "ins_noise/mmd_mean", "level": "ins_noise/sigma"}),
    ],
)
def test_the_states_of_losses(loss, names):
    arrays = {name: array for name, array in arrays_of(make_gan(loss)).items() if not name.startswith("loss/")}
    arrays |= {original: np.float32(0.25 + i) for i, original in enumerate(names.values())}
    target = make_gan(loss)
    tf1.import_checkpoint(arrays, target)
    assert {name: float(v) for name, v in target.loss_state.items()} == dict(zip(names, (0.25, 1.25), strict=True))
    del arrays[names["average"]]
    with pytest.raises(CheckpointError, match=r"lacks 1 variable \(loss/average \(\)\)"):
        tf1.import_checkpoint(arrays, target)


def test_dynamic_updates_begin_anew():
    """The original's never worked, so that none of its checkpoints holds their state."""
    source, target = filled(), make_gan(imbalanced_update="dynamic")
    tf1.import_checkpoint(arrays_of(source), target)
    assert_same_state(target, source)
    assert float(target.state()["schedule/loss_gen"]) == 0


def test_what_does_not_fit_is_named_and_nothing_changes():
    gan = make_gan()
    before = {name: variable.numpy() for name, variable in gan.state().items()}
    arrays = {name: value + 1 for name, value in arrays_of(gan).items()}

    def without(*starts):
        return {name: value for name, value in arrays.items() if not name.startswith(starts)}

    for wrong, message in (
        (without("dis/l2/kernel/kernel"), r"lacks 3 variables \(dis/l2/kernel/kernel \(4, 4, 4, 6\), .*Adam_0_1 "),
        (without("gen/"), r"lacks 34 variables \(gen/l1/BN/BN/beta \(32,\), .*mean .* and 29 more\)"),
        (without("global_step"), r"lacks 1 variable \(global_step \(\)\)"),
        (
            arrays | {"gen/l1/kernel/kernel": np.zeros((3, 3)), "dis/l1/bias/bias": np.zeros(5)},
            r"another shape of 2 variables \(dis/l1/bias/bias, \(5,\) instead of \(4,\), "
            r"gen/l1/kernel/kernel, \(3, 3\) instead of \(5, 32\)\)",
        ),
        (arrays | {"dis/l4/bias/bias": np.zeros(1)}, r"also has 1 variable \(dis/l4/bias/bias\)"),
        (without("global_step") | {"dis/l4/bias/bias": np.zeros(1)}, r"lacks 1 .*; it also has 1"),
    ):
        with pytest.raises(CheckpointError, match=message):
            tf1.import_checkpoint(wrong, gan)
    for name, variable in gan.state().items():
        np.testing.assert_array_equal(variable, before[name])
