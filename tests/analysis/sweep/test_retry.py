"""Cells that failed are tried again where that is asked for, and no others."""

from __future__ import annotations

import pytest
import xarray as xr

from analysis.sweep import run as sweep
from analysis.sweep.run import Study, forget_failed, run
from models import run_feedback_strength as command
from studies.strength import study as strength
from studies.strength.figures import FIGURES

MENDED: set[str] = set()
CALLS: list[str] = []


def moody(what: str) -> xr.Dataset:
    """Fails until it is mended."""
    CALLS.append(what)
    if what.startswith("bad") and what not in MENDED:
        raise ArithmeticError("not yet")
    return xr.Dataset({"status": "converged", "value": float(len(what))})


@pytest.fixture(autouse=True)
def anew():
    MENDED.clear()
    CALLS.clear()


def test_failed_cells_alone_are_measured_again(tmp_path):
    study = Study("moody", tuple({"what": what} for what in ("a", "bad", "bb", "bad luck")), moody)
    first = run(study, tmp_path, workers=0, quiet=True)
    failed = "failed: ArithmeticError: not yet"
    assert first["status"].values.tolist() == ["converged", failed, "converged", failed]
    MENDED.update({"bad"})
    CALLS.clear()
    again = run(study, tmp_path, workers=0, quiet=True)
    assert again["status"].values.tolist() == first["status"].values.tolist()
    assert CALLS == []  # unless it is asked for
    assert forget_failed(study, tmp_path) == 2
    again = run(study, tmp_path, workers=0, quiet=True)
    assert CALLS == ["bad", "bad luck"]
    assert again["status"].values.tolist() == ["converged", "converged", "converged", failed]
    assert again["value"].values.tolist()[:3] == [1.0, 3.0, 2.0]
    assert forget_failed(study, tmp_path) == 1
    assert forget_failed(study, tmp_path) == 0


def test_a_study_s_command_tries_again(tmp_path, monkeypatch, capsys):
    """What failed once is a result until then; what is measured a second time comes out."""
    for name in list(FIGURES):
        monkeypatch.delitem(FIGURES, name)
    here = ["--studies", "strength", "--scale", "smoke", "--workers", "0", "--seeds", "1"]
    arguments = [*here, "--output", str(tmp_path)]
    measures = strength.measures

    def failing(trial, **options):
        if trial.circuit.strengths[0] == 0.05:
            raise ArithmeticError("a full disk")
        return measures(trial, **options)

    monkeypatch.setattr(strength, "measures", failing)
    assert command.main([*arguments, "--quiet"]) == 0
    count = sum(cell["gamma"] == 0.05 for cell in strength.study("smoke", seeds=(1,)).cells)
    assert f"{count} failed" in capsys.readouterr().out
    monkeypatch.setattr(strength, "measures", measures)
    assert command.main([*arguments, "--quiet"]) == 0
    assert f"{count} failed" in capsys.readouterr().out
    assert command.main([*arguments, "--retry"]) == 0
    said = capsys.readouterr()
    assert f"{count} that had failed are tried again" in said.err
    assert "failed" not in said.out.split("strength:")[0].replace("by status", "")
    assert sweep.FAILED == "failed: "
