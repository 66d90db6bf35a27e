"""Checkpoints: what they hold, which of them stay, and that no crash loses one."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmdgan.core.errors import CheckpointError, ConfigError
from mmdgan.training.checkpoints import Checkpoints, UnusableCheckpoint, best_step, restore_model, saved_steps


def numbers(value):
    """A state whose numbers all tell the value: float weights, an integer step, a name with dots."""
    return {
        "dis/l1_f32/kernel/kernel": tf.Variable(tf.fill((2, 3), float(value))),
        "dis/l1.S_odd..name/bias": tf.Variable([float(value)]),
        "global_step": tf.Variable(value, dtype=tf.int64),
    }


def set_to(state, value):
    for variable in state.values():
        variable.assign(tf.cast(tf.fill(variable.shape, value), variable.dtype))


def is_all(state, value):
    return all(np.all(variable.numpy() == value) for variable in state.values())


def saved(folder, *steps, keep=2):
    """Checkpoints of the given steps, each holding its step as its numbers."""
    state = numbers(0)
    checkpoints = Checkpoints(folder, state, keep=keep)
    for step in steps:
        set_to(state, step)
        checkpoints.save(step)
    return checkpoints, state


def test_restores_values_types_and_names(tmp_path):
    state = {
        "a/b.c/d": tf.Variable([[1.5, -2.0]]),
        "global_step": tf.Variable(2**40, dtype=tf.int64),
        "coin": tf.Variable(True),
        "keras/variable": keras.Variable(np.array([3.0, 4.0], "float32")),
    }
    prefix = Checkpoints(tmp_path / "new" / "folder", state).save(7)
    held = {tuple(shape) for name, shape in tf.train.list_variables(str(prefix)) if name.startswith("state/")}
    assert held == {(1, 2), (), (2,)}
    expected = {name: tf.convert_to_tensor(variable).numpy() for name, variable in state.items()}
    for variable in state.values():
        variable.assign(tf.zeros(variable.shape, variable.dtype))
    assert Checkpoints(tmp_path / "new" / "folder", state).restore() == 7
    for name, value in expected.items():
        np.testing.assert_array_equal(tf.convert_to_tensor(state[name]), value, err_msg=name)


def test_keeps_the_newest_and_the_permanent_ones(tmp_path):
    checkpoints, state = saved(tmp_path, 1, 2)
    checkpoints.save(3, permanent=True)
    for step in (4, 5, 6):
        checkpoints.save(step)
    assert checkpoints.steps() == saved_steps(tmp_path) == [3, 5, 6]
    assert checkpoints.latest() == 6
    again = Checkpoints(tmp_path, state, keep=1)
    again.save(7)
    assert again.steps() == [3, 7]
    assert not [name for name in os.listdir(tmp_path) if name.startswith(("ckpt-5", "ckpt-6", "."))]
    with pytest.raises(ConfigError, match="keep is 0"):
        Checkpoints(tmp_path, state, keep=0)


def test_keeping_a_checkpoint_does_not_write_it_again(tmp_path):
    checkpoints, state = saved(tmp_path, 1, 2, keep=1)
    files = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    checkpoints.keep_permanently(2)
    assert {file: file.stat().st_mtime_ns for file in files} == files
    set_to(state, 3)
    checkpoints.save(3)
    assert checkpoints.steps() == [2, 3]
    checkpoints.restore(2)
    assert is_all(state, 2)
    with pytest.raises(CheckpointError, match="No checkpoint of step 1 can be kept.*2, 3"):
        checkpoints.keep_permanently(1)


def test_replaces_a_checkpoint_of_the_same_step(tmp_path):
    checkpoints, state = saved(tmp_path, 1, 2)
    set_to(state, 20)
    checkpoints.save(2)
    set_to(state, 0)
    assert checkpoints.restore(2) == 2
    assert is_all(state, 20)
    assert checkpoints.steps() == [1, 2]


def test_a_missing_step_names_those_that_exist(tmp_path):
    checkpoints, _ = saved(tmp_path, 10, 20)
    with pytest.raises(CheckpointError, match=r"No checkpoint of step 15 .* the steps 10, 20\."):
        checkpoints.restore(15)
    with pytest.raises(CheckpointError, match="there is no checkpoint in .*nowhere"):
        Checkpoints(tmp_path / "nowhere", numbers(0)).restore()
    assert not (tmp_path / "nowhere").exists()


def test_another_network_is_named_and_nothing_changes(tmp_path):
    saved(tmp_path, 5)
    other = numbers(1)
    other["dis/l2/kernel/kernel"] = tf.Variable([1.0])
    del other["dis/l1.S_odd..name/bias"]
    other["dis/l1_f32/kernel/kernel"] = tf.Variable(tf.ones((3, 3)))
    with pytest.raises(CheckpointError, match="belongs to another network") as error:
        Checkpoints(tmp_path, other).restore()
    message = str(error.value)
    assert "lacks dis/l2/kernel/kernel" in message
    assert "dis/l1_f32/kernel/kernel (2, 3) instead of (3, 3)" in message
    assert "also holds dis/l1.S_odd..name/bias" in message
    assert is_all(other, 1)


@pytest.mark.parametrize(
    "damage", ["cut data", "shortened data", "flipped data", "cut index", "no data", "empty index"]
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_loads(tmp_path, damage):
    checkpoints, state = saved(tmp_path, 10, 20)
    set_to(state, 0)
    what, part = damage.split()
    (file,) = tmp_path.glob(f"ckpt-20.{part}*")
    content = file.read_bytes()
    if what == "no":
        file.unlink()
    elif what == "shortened":
        file.write_bytes(content[:-1])
    elif what == "flipped":
        file.write_bytes(content[:8] + bytes(255 - byte for byte in content[8:12]) + content[12:])
    else:
        file.write_bytes(content[: len(content) // 2] if what == "cut" else b"")
    with pytest.raises(CheckpointError, match=r"ckpt-20 is damaged .* the steps 10, 20"):
        checkpoints.restore()
    assert is_all(state, 0)
    assert checkpoints.restore(10) == 10
    assert is_all(state, 10)


def test_the_newest_sound_checkpoint_is_found(tmp_path):
    """One is cut short, one has lost its data, one is of another network; then all are."""
    checkpoints, state = saved(tmp_path, 10, 20, 30, keep=9)
    checkpoints.keep_best(30)
    Checkpoints(tmp_path, {"other": tf.Variable(1.0)}, keep=9).save(40)
    next(tmp_path.glob("ckpt-20.data*")).unlink()
    file = next(tmp_path.glob("ckpt-30.data*"))
    file.write_bytes(file.read_bytes()[:-9])
    set_to(state, 0)
    step, errors = checkpoints.restore_sound()
    assert step == 10 and is_all(state, 10)
    assert [error.step for error in errors] == [40, 30, 20]
    assert "another network" in str(errors[0]) and "damaged" in str(errors[1]) and "damaged" in str(errors[2])
    assert checkpoints.steps() == [10] and saved_steps(tmp_path / "unusable-1") == [20, 30, 40]
    assert best_step(tmp_path) is None
    assert checkpoints.restore_sound() == (10, [])

    next(tmp_path.glob("ckpt-10.index")).write_bytes(b"")
    with pytest.raises(UnusableCheckpoint, match="ckpt-10 is damaged"):
        checkpoints.restore_sound()
    assert checkpoints.steps() == [10]
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        Checkpoints(tmp_path / "nowhere", state).restore_sound()


def test_the_best_checkpoint_stays_and_is_one(tmp_path):
    checkpoints, state = saved(tmp_path, 1, 2)
    assert best_step(tmp_path) is None and best_step(tmp_path / "nowhere") is None
    checkpoints.keep_best(1)
    for step in (3, 4):
        set_to(state, step)
        checkpoints.save(step)
    assert checkpoints.steps() == [1, 3, 4] and best_step(tmp_path) == 1
    checkpoints.restore(1)
    assert is_all(state, 1)
    checkpoints.keep_best(1)
    checkpoints.keep_best(4)
    assert checkpoints.steps() == [3, 4] and best_step(tmp_path) == 4, "the former best goes"
    checkpoints.keep_best(3)
    assert checkpoints.steps() == [3, 4], "one of the newest two"
    checkpoints.keep_permanently(3)
    checkpoints.save(5)
    checkpoints.save(6)
    checkpoints.keep_best(6)
    assert checkpoints.steps() == [3, 5, 6], "kept for another reason"
    (tmp_path / "ckpt-5.best").touch()  # two folders put together
    checkpoints.keep_best(6)
    assert [file.name for file in tmp_path.glob("*.best")] == ["ckpt-6.best"]
    with pytest.raises(CheckpointError, match="No checkpoint of step 1 can be kept.*3, 5, 6"):
        checkpoints.keep_best(1)


def test_rewinding_beyond_the_best_leaves_none(tmp_path):
    checkpoints, _ = saved(tmp_path, 1, 2)
    checkpoints.keep_best(2)
    checkpoints.rewind(1)
    assert checkpoints.steps() == [1] and best_step(tmp_path) is None


MARKING = """
import sys
from pathlib import Path
from mmdgan.training.checkpoints import Checkpoints

folder = Path(sys.argv[1])
checkpoints = Checkpoints(folder, {}, keep=1)
print("ready", flush=True)
for round in range(10**9):
    step = 1 + round % 3
    for ending in ("data-00000-of-00001", "index"):
        (folder / f"ckpt-{step}.{ending}").touch()
    checkpoints.keep_best(step)
"""


def test_a_killed_process_leaves_a_best_checkpoint(tmp_path):
    for step in (1, 9):
        for ending in ("data-00000-of-00001", "index"):
            (tmp_path / f"ckpt-{step}.{ending}").touch()
    Checkpoints(tmp_path, {}, keep=1).keep_best(1)
    for seconds in (0.02, 0.05, 0.11):
        command = [sys.executable, "-c", MARKING, str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        try:
            process.stdout.readline()
            time.sleep(seconds)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        best = best_step(tmp_path)
        assert best is not None and (tmp_path / f"ckpt-{best}.data-00000-of-00001").is_file()
        assert len(list(tmp_path.glob("*.best"))) == 1


class Crash(BaseException):
    """Stands for kill -9: no handler for errors sees it."""


def crash_after(operations, patch, functions):
    """Lets the functions (owner, name) raise `Crash` once so many operations are done."""
    done = 0

    def count(operation):
        def counted(*args, **kwargs):
            nonlocal done
            done += 1
            if done > operations:
                raise Crash
            return operation(*args, **kwargs)

        return counted

    for owner, name in functions:
        patch.setattr(owner, name, count(getattr(owner, name)))


@pytest.mark.parametrize("steps", [(1, 2), (1,)])
def test_a_crash_before_any_file_operation_loses_nothing(tmp_path, monkeypatch, steps):
    """Each operation that `save` does on the file system in turn is the one that never happens."""
    crash_at = 0
    while True:
        folder = tmp_path / str(crash_at)
        checkpoints, state = saved(folder, *steps)
        set_to(state, 3)
        with monkeypatch.context() as patch:
            of_os = [(os, name) for name in ("replace", "fsync", "unlink", "rmdir")]
            crash_after(crash_at, patch, [*of_os, *((Path, name) for name in ("touch", "unlink", "mkdir", "rmdir"))])
            try:
                checkpoints.save(3, permanent=True)
                break
            except Crash:
                pass
        state = numbers(0)
        again = Checkpoints(folder, state)
        newest = again.restore()
        assert newest in (steps[-1], 3)
        assert is_all(state, newest)
        set_to(state, 4)
        again.save(4)
        assert {int(name) for name in re.findall(r"ckpt-(\d+)", " ".join(os.listdir(folder)))} == set(again.steps())
        assert not list(folder.glob(".saving-*"))
        crash_at += 1
    assert crash_at > 8


def test_a_crash_while_the_best_changes_leaves_one(tmp_path, monkeypatch):
    for crash_at in range(100):
        folder = tmp_path / str(crash_at)
        checkpoints, _ = saved(folder, 1, 2)
        checkpoints.keep_best(1)
        checkpoints.save(3)
        with monkeypatch.context() as patch:
            crash_after(crash_at, patch, [(os, "replace"), (os, "fsync"), (Path, "touch"), (Path, "unlink")])
            try:
                checkpoints.keep_best(3)
                break
            except Crash:
                pass
        best = best_step(folder)
        assert best in (1, 3) and Checkpoints(folder, numbers(0)).restore(best) == best
        checkpoints.keep_best(3)
        checkpoints.save(4)
        assert checkpoints.steps() == [3, 4] and best_step(folder) == 3
        assert not list(folder.glob("ckpt-1.*"))
    assert 3 < crash_at < 50


def test_a_crash_while_tensorflow_writes_loses_nothing(tmp_path, monkeypatch):
    checkpoints, state = saved(tmp_path, 1, 2)
    write = tf.train.Checkpoint.write

    def half(checkpoint, prefix):
        write(checkpoint, prefix)
        os.truncate(f"{prefix}.index", 10)
        raise Crash

    set_to(state, 3)
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(tf.train.Checkpoint, "write", half)
        checkpoints.save(3)
    assert checkpoints.steps() == [1, 2]
    assert checkpoints.restore() == 2
    checkpoints.save(3)
    assert checkpoints.restore() == 3


def test_what_a_killed_process_left_is_ignored_and_cleared(tmp_path):
    checkpoints, state = saved(tmp_path, 1, 2)
    (tmp_path / ".saving-99").mkdir()
    (tmp_path / ".saving-99" / "ckpt-3.index").write_bytes(b"half")
    (tmp_path / "ckpt-9.data-00000-of-00001").write_bytes(b"half")
    (tmp_path / "ckpt-10.index.tempstate1").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    assert checkpoints.steps() == [1, 2]
    checkpoints.save(3)
    assert checkpoints.steps() == [2, 3]
    assert {name.split(".")[0] for name in os.listdir(tmp_path)} == {"ckpt-2", "ckpt-3", "notes"}


def test_a_full_disk_keeps_the_old_checkpoint_and_says_so(tmp_path, monkeypatch):
    checkpoints, state = saved(tmp_path, 1)
    set_to(state, 2)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"ckpt-2 cannot be written .*No space left.* the steps 1\."):
        checkpoints.save(2)
    assert os.listdir(tmp_path) and not list(tmp_path.glob(".saving-*"))
    assert checkpoints.restore() == 1


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        Checkpoints(tmp_path / "file", numbers(0)).save(1)


def test_rewind_sets_later_checkpoints_aside(tmp_path):
    checkpoints, state = saved(tmp_path, 1, 2, 3, keep=3)
    assert checkpoints.rewind(1) == 1
    assert is_all(state, 1)
    assert checkpoints.steps() == [1]
    assert saved_steps(tmp_path / "abandoned-1") == [2, 3]
    checkpoints.save(2)
    checkpoints.rewind(1)
    assert saved_steps(tmp_path / "abandoned-2") == [2]
    with pytest.raises(CheckpointError, match="No checkpoint of step 8"):
        checkpoints.rewind(8)


def test_a_state_set_aside_is_no_checkpoint(tmp_path):
    checkpoints, state = saved(tmp_path, 1)
    prefix = checkpoints.save_aside("diverged-5")
    assert checkpoints.steps() == [1]
    assert tf.train.load_checkpoint(str(prefix)).get_tensor("state/global_step/.ATTRIBUTES/VARIABLE_VALUE") == 1


def test_a_copied_state_is_as_good_as_a_checkpoint(tmp_path):
    checkpoints, state = saved(tmp_path, 3)
    copied = checkpoints.copied()
    set_to(state, 9)
    checkpoints.save_aside("ckpt-3", copied)
    assert checkpoints.restore() == 3 and is_all(state, 3)


def test_non_finite_variables_are_named(tmp_path):
    state = numbers(1)
    checkpoints = Checkpoints(tmp_path, state)
    assert checkpoints.non_finite() == []
    state["dis/l1_f32/kernel/kernel"][1, 2].assign(np.inf)
    state["dis/l1.S_odd..name/bias"].assign([np.nan])
    assert checkpoints.non_finite() == ["dis/l1_f32/kernel/kernel", "dis/l1.S_odd..name/bias"]


LAYERS = [
    {"name": "l1", "op": "d", "out": 12, "out_reshape": [3, 2, 2]},
    {"name": "l2_up", "op": "tc", "out": 3, "kernel": 4, "strides": 2, "act": "tanh", "act_nm": "bn"},
]


def test_one_model_is_restored_from_a_whole_state(tmp_path):
    from mmdgan import build_network
    from mmdgan.tf1 import original_name

    trained = build_network(LAYERS, (5,), name="gen")
    state = {original_name(v): v.value for v in trained.weights} | {"global_step": tf.Variable(9)}
    Checkpoints(tmp_path, state).save(9)
    fresh = build_network(LAYERS, (5,), name="gen")
    codes = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    assert not np.allclose(fresh(codes), trained(codes))
    assert restore_model(tmp_path, fresh) == 9
    np.testing.assert_array_equal(fresh(codes), trained(codes))
    wider = build_network([{**LAYERS[0], "out": 16, "out_reshape": [4, 2, 2]}, LAYERS[1]], (5,), name="gen")
    with pytest.raises(CheckpointError, match=r"another network .*gen/l1/\S+ \(5, 12\) instead of \(5, 16\)"):
        restore_model(tmp_path, wider)


def test_listing_steps_does_not_load_tensorflow(tmp_path):
    code = (
        "import sys; from mmdgan.training.checkpoints import saved_steps; "
        f"print(saved_steps({str(tmp_path)!r}), 'tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[] False False\n"
