"""The verb losses."""

from __future__ import annotations

from tests.helpers.command_line import status


def test_losses_lists_every_loss_without_tensorflow(run_script, capsys):
    from mmdgan import losses

    assert status("losses") == 0
    text = capsys.readouterr().out
    words = set(text.replace(",", " ").split())
    assert set(losses.names()) <= words
    code = "import sys, mmdgan.cli as cli; cli.main(['losses']); print({'tensorflow', 'numpy'} & set(sys.modules))"
    assert run_script("-c", code).stdout.endswith("\nset()\n")
    assert status("train", "--help") == 0
    assert "the verb losses lists them all" in capsys.readouterr().out
