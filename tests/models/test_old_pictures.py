"""An output folder that is used again: its pictures are those of its numbers."""

from __future__ import annotations

import pytest

from analysis.derivation.figures import DERIVATION
from analysis.equilibrium.figures import EQUILIBRIUM
from models import run_derivation, run_equilibrium, run_feedback_strength, run_training
from training import report
from training.figures import TRAINING

pytestmark = pytest.mark.usefixtures("rough_pictures")
QUICK = {
    run_equilibrium: ["--batch", "5", "--depth", "2", "--no-brian2"],
    run_derivation: ["--only", "eq15"],
    run_training: ["--train-images", "90", "--depth", "1", "--epochs", "1"],
}


def names(folder, kind="png"):
    return {path.stem for path in folder.glob(f"*.{kind}")}


def test_commands_know_their_pictures_without_drawing():
    assert set(run_equilibrium.PICTURES) == set(EQUILIBRIUM)
    assert set(run_derivation.PICTURES) == set(DERIVATION)
    assert set(report.PICTURES) == set(TRAINING)


def test_no_figures_leaves_none_of_an_earlier_run(tmp_path, capsys):
    command, arguments = run_equilibrium.main, QUICK[run_equilibrium]
    rest = ["--quiet", "--output", str(tmp_path)]
    assert command([*arguments, *rest, "--pdf"]) == 0
    assert names(tmp_path) == names(tmp_path, "pdf") >= {"updates", "agreement", "shifts"}
    (tmp_path / "mine.png").write_bytes(b"a user's own")
    drawn = len(names(tmp_path)) + len(names(tmp_path, "pdf")) - 1
    capsys.readouterr()
    assert command([*arguments, *rest, "--no-figures", "--seed", "2"]) == 0
    assert names(tmp_path) == {"mine"}
    assert not names(tmp_path, "pdf")
    said = capsys.readouterr().err
    assert said.startswith("run_equilibrium: ")
    assert said.endswith(" of an earlier run were removed\n")
    assert said.count(".png") + said.count(".pdf") == drawn
    assert command([*arguments, *rest, "--no-figures", "--seed", "2"]) == 0
    assert capsys.readouterr().err == ""


def test_what_is_drawn_anew_is_replaced_and_the_rest_goes(tmp_path, capsys):
    command, arguments = run_equilibrium.main, QUICK[run_equilibrium]
    for name in ("updates.png", "updates.pdf", "settling.png"):
        (tmp_path / name).write_bytes(b"old")
    assert command([*arguments, "--quiet", "--output", str(tmp_path)]) == 0
    assert (tmp_path / "updates.png").read_bytes() != b"old"
    assert not (tmp_path / "updates.pdf").exists()
    said = capsys.readouterr().err
    assert "updates.pdf" in said
    assert "updates.png" not in said
    assert ("settling.png" in said) == (not (tmp_path / "settling.png").exists())


def test_old_pictures_are_gone_before_the_new_numbers_stand(tmp_path, monkeypatch):
    """Whenever the run is stopped."""
    from analysis import records

    seen = []
    write = records.write_dataset

    def watched(path, data, **options):
        seen.append(sorted(names(tmp_path)))
        write(path, data, **options)

    monkeypatch.setattr(records, "write_dataset", watched)
    (tmp_path / "updates.png").write_bytes(b"old")
    command, arguments = run_equilibrium.main, QUICK[run_equilibrium]
    assert command([*arguments, "--quiet", "--output", str(tmp_path)]) == 0
    assert seen[0] == []


def test_training_too(tmp_path, capsys):
    for name in ("layers.png", "learning_curves.pdf"):
        (tmp_path / name).write_bytes(b"old")
    arguments = [*QUICK[run_training], "--quiet", "--no-figures", "--output", str(tmp_path)]
    assert run_training.main(arguments) == 0
    assert not names(tmp_path) | names(tmp_path, "pdf")
    assert "learning_curves.pdf, layers.png of an earlier run" in capsys.readouterr().err


def test_a_study_removes_those_that_its_data_no_longer_give(measured, tmp_path, capsys):
    """Such as PDFs that this run was not asked for; those of other studies stay."""
    measured("strength", 1, tmp_path)
    for name in ("strength_gain.pdf", "noise_signal.png"):
        (tmp_path / name).write_bytes(b"old")
    arguments = ["--studies", "strength", "--scale", "smoke", "--workers", "0", "--seeds", "1"]
    assert run_feedback_strength.main([*arguments, "--quiet", "--output", str(tmp_path)]) == 0
    assert (tmp_path / "noise_signal.png").read_bytes() == b"old"
    assert not names(tmp_path, "pdf")
    assert capsys.readouterr().err.strip() == (
        "run_feedback_strength: strength_gain.pdf of an earlier run was removed"
    )


def test_the_derivation_too(tmp_path, capsys):
    (tmp_path / "fig1.pdf").write_bytes(b"old")
    arguments = [*QUICK[run_derivation], "--no-figures", "--quiet", "--output", str(tmp_path)]
    assert run_derivation.main(arguments) == 0
    assert not names(tmp_path, "pdf")
    assert "fig1.pdf of an earlier run was removed" in capsys.readouterr().err
