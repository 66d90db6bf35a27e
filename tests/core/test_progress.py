"""How library code reports what it does."""

from mmdgan.core import progress


def test_in_a_notebook_sentences_are_shown_unless_they_are_logged(monkeypatch, capsys, caplog):
    progress.log("one")
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    progress.log("two")
    assert capsys.readouterr().out == "two\n"
    with caplog.at_level("INFO", "mmdgan"):
        progress.log("three")
    assert capsys.readouterr().out == "" and caplog.messages == ["three"]
