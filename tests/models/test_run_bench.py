"""models.run_bench: the command, from options to files."""

from __future__ import annotations

import json

import pytest
import xarray as xr

from models import run_bench

SMALL = ["--depth", "1", "--batch", "5", "--rules", "bp", "tp", "gait", "circuit", "chl"]
KEYS = {"reading", "settled", "worst_residual", "passes", "seconds_over_bp", "layers"}


def test_files_table_and_pictures(tmp_path, capsys) -> None:
    assert run_bench.main([*SMALL, "--output", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    assert {"rules", "config", "versions", "seed"} <= set(summary)
    assert list(summary["rules"]) == SMALL[5:]
    for name, entry in summary["rules"].items():
        assert set(entry) >= KEYS
        assert [layer["layer"] for layer in entry["layers"]] == [1, 2]
        for layer in entry["layers"]:
            assert set(layer["bp"]) == {"cosine", "relative_error", "norm_ratio"}
            assert (layer["own"] is None) == (name != "chl")
        assert name in said
    for name in ("bench_cosine", "bench_price", "bench_linear"):
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
    with xr.open_dataset(tmp_path / "bench.nc", engine="scipy") as data:
        assert float(abs(data["linear_measured"] - data["linear_predicted"]).max()) < 1e-8


def test_a_rule_that_can_do_nothing_is_told_by_the_status(tmp_path, capsys) -> None:
    arguments = ["--rules", "bp", "gait", "--widths", "64", "30", "20", "10", "--feedback"]
    few = ["--batch", "4", "--no-figures", "--output", str(tmp_path)]
    assert run_bench.main([*arguments, "pseudo-inverse", *few]) == 0
    said = capsys.readouterr().out
    assert "nothing to compare" not in said
    far = ["--rules", "tp", "--activation", "tanh", "--loss", "quadratic", "--depth", "9", *few]
    assert run_bench.main([*far, "--init", "gaussian"]) == 1
    assert "nothing to compare" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rules", "guess"], "guess"),
        (["--rules", "bp", "bp"], "twice"),
        (["--rules", "bp", "--gamma", "0.1"], "--gamma does nothing"),
        (["--rules", "bp", "--chl-gamma", "0.1"], "--chl-gamma does nothing"),
        (["--gamma", "2"], "outside"),
        (["--depth", "2", "--widths", "64", "64"], "--depth"),
    ],
)
def test_bad_input_is_one_line(arguments, words, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit) as leaving:
        run_bench.main([*arguments, "--batch", "3", "--output", str(tmp_path)])
    assert leaving.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1
