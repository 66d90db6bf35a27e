"""The verb summary."""

from __future__ import annotations

from mmdgan.cli import program
from tests.helpers.command_line import status


def test_summary_shows_both_networks(capsys):
    assert status("summary", "cifar10/DCGAN") == 0
    text = capsys.readouterr().out
    assert "3,811,907" in text and "5,983,760" in text
    assert status("summary", "cifar10/DCGAN", "--score_size=1") == 0
    assert "5,860,865" in capsys.readouterr().out


def test_summary_of_a_single_network(capsys, tmp_path):
    (tmp_path / "my.py").write_text(
        'LIST = [{"name": "a", "out": 4}, {"name": "b", "op": "d", "in_reshape": [64], "out": 2, "bias": "cb"}]\n'
        'GRAPH = {"layers": LIST, "links": [{"from": ["input"], "to": ["a"]}, {"from": ["a"], "to": ["b"]}],\n'
        '         "outputs": ["b"]}\n'
    )
    for name in ("LIST", "GRAPH"):
        reference = f"{tmp_path}/my.py:{name}"
        assert status("summary", reference, "--input_shape=3,4,4", "--num_class=5") == 0
        # conv 3*3*3*4 + 4; dense 64*2, a bias of 2 for each of 5 classes
        assert "112" in (text := capsys.readouterr().out) and "138" in text
        assert status("summary", reference) == program.BAD_USE
        assert "single network" in capsys.readouterr().err
        assert status("summary", reference, "--input_shape=3,4,4", "--num_class=5", "--score_size=3") == program.BAD_USE
        assert "leave --score_size out" in capsys.readouterr().err


def test_summary_of_conditional_networks(capsys):
    assert status("summary", "sample/PROJECTION_SMALL", "--num_class=10", "--score_size=1") == 0
    assert "l8_s" in capsys.readouterr().out
