"""Cells whose measure goes wrong, and files that are not whole: recorded or measured again."""

from __future__ import annotations

import numpy as np

from analysis.sweep.kept import stored
from analysis.sweep.run import Study, collect, run
from tests import toy_cells
from tests.analysis.sweep.products import contents, products


def test_cells_that_raise_are_recorded(tmp_path, capsys):
    kinds = ("fine", "raise", "exit", "no status", "complex", "clash", "none")
    study = Study("fragile", tuple({"what": what} for what in kinds), toy_cells.fragile)
    dataset = run(study, tmp_path, workers=0)
    status = dict(
        zip(dataset["what"].values.tolist(), dataset["status"].values.tolist(), strict=True)
    )
    assert status["fine"] == "converged"
    assert status["raise"] == "failed: ArithmeticError: no equilibrium at all"
    assert status["exit"] == "failed: SystemExit: 3"
    assert status["no status"].startswith("failed: CircuitError: a measure returned no status")
    assert "complex128" in status["complex"]
    assert "the name of a parameter" in status["clash"]
    assert "NoneType" in status["none"]
    assert np.isnan(dataset["value"].values).tolist() == [False] + [True] * 6
    assert dataset.attrs["cells"] == "1 converged, 6 failed"
    failed = stored(study, study.cells[1], tmp_path)
    assert "fragile" in failed.attrs["traceback"]
    said = capsys.readouterr().err
    assert "{'what': 'raise'}: failed: ArithmeticError" in said
    assert "and 3 more failed" in said


def test_damaged_and_foreign_cells_are_measured_again_and_no_others(tmp_path):
    study = products(2)
    run(study, tmp_path, workers=0, quiet=True)
    expected = contents(tmp_path)
    paths = [study.path(cell, tmp_path) for cell in study.cells]
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole[:-40])  # cut short
    paths[1].write_bytes(whole)  # of another cell
    paths[2].write_bytes(b"")  # what a full disk leaves
    changed = bytearray(paths[3].read_bytes())
    norm = np.array(stored(study, study.cells[3], tmp_path)["norm"].item(), dtype=">f8").tobytes()
    place = changed.index(norm)
    changed[place : place + 8] = bytes(8)  # a block that never reached the disk
    paths[3].write_bytes(bytes(changed))
    paths[4].with_suffix(".started").write_bytes(b"xxxxxxx")  # from a run that was killed
    before = [path.stat().st_mtime_ns for path in paths]
    partial = collect(study, tmp_path)
    assert partial["status"].values.tolist() == ["missing"] * 4 + ["converged"] * 2
    assert np.isnan(partial["sum"].values[:4]).all()
    run(study, tmp_path, workers=0, quiet=True)
    assert contents(tmp_path) == expected
    assert [
        a == b for a, b in zip(before, [path.stat().st_mtime_ns for path in paths], strict=True)
    ] == ([False] * 4 + [True] * 2)
