"""A disk that is full: what stays, and what is said. The process may not let any file grow beyond a limit."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mmdgan.training.checkpoints import Checkpoints
from tests.conftest import script_environment

PROGRAM = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import tensorflow as tf
from tests.helpers.fake_gan import FakeGan, small_pipeline
from mmdgan.training.checkpoints import Checkpoints
from mmdgan.training.tensorboard import Monitor
from mmdgan.training.trainer import Progress
from mmdgan.training.trainer import Trainer

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def tell(what, call):
    try:
        call()
    except Exception as error:
        print(what, type(error).__name__, error, flush=True)

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[2])

variable = tf.Variable(tf.zeros(10**5))
checkpoints = Checkpoints(folder / "large", {"w": variable})
checkpoints.save(1)
variable.assign_add(tf.ones(10**5))
limit(2 * 10**5)  # half of the state
tell("checkpoint", lambda: checkpoints.save(2))

monitor, gan = Monitor(folder / "logs"), FakeGan()
monitor.scalars(0, {"x": 1.0})
checkpoints = Checkpoints(folder / "small", gan.state())
save = checkpoints.save

def with_room(step):
    limit(resource.RLIM_INFINITY)
    save(step)

checkpoints.save = with_room
options = {"monitor": monitor, "progress": Progress(stream=None), "query_step": None, "log_every": 1}
trainer = Trainer(gan, small_pipeline(), checkpoints=checkpoints, **options)
limit(next((folder / "logs").iterdir()).stat().st_size)
tell("logs", lambda: trainer.fit(100))
print("trained", int(gan.iterations), flush=True)
limit(1)
monitor.close()
"""


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """(the folder, what the process said)."""
    folder = tmp_path_factory.mktemp("full")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).parents[2]), str(folder)],
        capture_output=True,
        text=True,
        env=script_environment(),
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_old_checkpoint_stays(full):
    folder, said = full
    assert re.search(
        r"checkpoint CheckpointError .*ckpt-2 cannot be written .*too large.* the steps 1\..* Make room", said
    )
    assert "{" not in said and "[Op" not in said, "TensorFlow's marks"
    assert {file.name.split(".")[0] for file in (folder / "large").iterdir()} == {"ckpt-1"}
    state = {"w": tf.Variable(tf.ones(10**5))}
    assert Checkpoints(folder / "large", state).restore() == 1
    np.testing.assert_array_equal(state["w"], 0)


def test_a_curve_that_cannot_be_written_does_not_lose_what_was_trained(full):
    folder, said = full
    assert re.search(r"logs ConfigError .* cannot be written to .*logs \(File too large\); make room", said)
    step = int(said.rpartition("trained ")[2])
    assert 0 < step < 100 and Checkpoints(folder / "small", {}).steps() == [step]
