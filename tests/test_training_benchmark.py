"""The benchmark of learning runs, with a row for every rule."""

from benchmarks.training import LESSONS, main


def test_every_contestant_has_a_row(capsys):
    assert main(["--quick"]) == 0
    words = capsys.readouterr().out
    assert all(f"| {name} |" in words for name in LESSONS)
