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


def test_in_a_notebook_reports_renew_one_line(monkeypatch, capsys):
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    with progress.Ticker(0) as ticker:
        for sentence in ("step 9 of 12", "step 12"):
            ticker.report(sentence, progress.log)
    progress.log("done")
    assert capsys.readouterr().out == "\rstep 9 of 12\rstep 12     \ndone\n"
    said = []
    with progress.Ticker(0) as ticker:
        ticker.report("step 9 of 12", said.append)
    count = progress.counter("rows")
    for done in range(3):
        count(done, 2)
    assert said == ["step 9 of 12"] and capsys.readouterr().out == ""
    monkeypatch.setattr(progress.Ticker, "due", lambda ticker: True)
    for done in range(3):
        count(done, 2)
    assert capsys.readouterr().out == "\rrows: 0 of 2\rrows: 1 of 2\n"
