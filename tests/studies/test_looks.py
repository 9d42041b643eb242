"""Peaks over fewer looks at test images than were taken, against plain loops over epochs."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from models import run_figures as command
from studies.paper_figures.looks import longer_findings, peaks
from studies.paper_figures.study import study

EPOCHS, BATCHES, EVERY = 4, 45, 2  # looks after 2, 4, .. 44 batches of an epoch, and after all 45
RULES = ("bp", "gait", "grait")


def seen(rng: np.random.Generator) -> dict[int, float]:
    """Steps of learning -> accuracy, by epochs and batches."""
    found = {}
    for epoch in range(EPOCHS):
        for batch in range(1, BATCHES + 1):
            if batch % EVERY == 0 or batch == BATCHES:
                found[epoch * BATCHES + batch] = float(rng.uniform(0.9, 0.99))
    return found


def literal_peak(looks: dict[int, float], every: int, last: int) -> float:
    best = 0.0
    for step, accuracy in looks.items():
        epoch, batch = divmod(step - 1, BATCHES)
        if epoch < last and ((batch + 1) % every == 0 or batch + 1 == BATCHES):
            best = max(best, accuracy)
    return best


@pytest.fixture
def made_up(rng) -> tuple[xr.Dataset, dict[tuple[str, int], dict[int, float]]]:
    """Runs of three rules and two seeds; the last of them failed before it saw an image."""
    looks = {(rule, seed): seen(rng) for rule in RULES for seed in (1, 2)}
    steps = list(next(iter(looks.values())))
    within = np.array([[one[step] for step in steps] for one in looks.values()])
    within[-1] = np.nan
    count = len(looks)
    coordinates = {
        "rule": [rule for rule, _ in looks],
        "seed": [seed for _, seed in looks],
        "orthogonality": np.full(count, 0.1),
        "learning_rate": np.full(count, 1e-4),
        "pathway": [""] * count,
        "dataset": ["mnist"] * count,
        "widths": ["8-8-8"] * count,
        "activation": ["leaky_relu"] * count,
        "epochs": np.full(count, EPOCHS),
        "test_every": np.full(count, EVERY),
    }
    status = np.array(["completed"] * (count - 1) + ["training failed: at once"])
    data = xr.Dataset(
        {"status": ("cell", status), "test_accuracy_within": (("cell", "step"), within)},
        {name: ("cell", np.array(values)) for name, values in coordinates.items()}
        | {"step": np.array(steps)},
    )
    last = dict.fromkeys(("test_accuracy_chosen", "test_accuracy_end"), within[:, -1])
    last |= {"test_accuracy_peak_within": np.fmax.reduce(within, axis=1)}
    last |= dict.fromkeys(("test_accuracy_peak", "train_accuracy_peak"), within[:, -1])
    alignment = ("cell", "epoch", "layer"), np.ones((count, EPOCHS + 1, 2))
    columns = {name: ("cell", values) for name, values in last.items()}
    return data.assign(columns | {"alignment": alignment}), looks


@pytest.mark.parametrize("every", [EVERY, 10 * EVERY, BATCHES])
@pytest.mark.parametrize("last", [EPOCHS // 2, EPOCHS])
def test_fewer_looks_are_those_that_a_loop_would_have_taken(made_up, every, last):
    data, looks = made_up
    found = peaks(data, every, last)
    expected = [literal_peak(one, every, last) for one in looks.values()]
    np.testing.assert_array_equal(found[:-1], expected[:-1])
    assert np.isnan(found[-1])


def test_the_table_holds_them_and_what_they_are_less_back_propagation(made_up):
    data, looks = made_up
    lines = longer_findings(data)
    rows = [[word.strip() for word in line.strip("|").split("|")] for line in lines]
    heads = ["every 2 batches", "every 20 batches", "ends of epochs"]
    assert ["rule", "epochs", *heads] in rows
    (row,) = [one for one in rows if one[:2] == ["GAIT-prop, lambda 0.1", f"1 to {EPOCHS}"]]
    for word, every in zip(row[2:], (EVERY, 10 * EVERY, BATCHES), strict=True):
        best = {key: 100 * literal_peak(one, every, EPOCHS) for key, one in looks.items()}
        own = [best["gait", seed] for seed in (1, 2)]
        less = [best["gait", seed] - best["bp", seed] for seed in (1, 2)]
        told = ", ".join(f"{one:.2f}" for one in own), ", ".join(f"{one:+.2f}" for one in less)
        assert word == f"{told[0]} ({told[1]})"
    (reference,) = [one for one in rows if one[:2] == ["BP, lambda 0.1", f"1 to {EPOCHS}"]]
    assert not any("(" in word for word in reference[2:])


def test_of_a_single_epoch_there_is_one_row_of_each_rule(made_up):
    data, looks = made_up
    first = data.sel(step=data["step"] <= BATCHES)
    one = first.assign_coords(epochs=("cell", np.ones(data.sizes["cell"], dtype=int)))
    rows = [line for line in longer_findings(one) if "| 1 to " in line]
    assert [row.split(" | ")[1] for row in rows] == ["1 to 1"] * len(RULES)
    best = [f"{100 * literal_peak(looks['bp', seed], EVERY, 1):.2f}" for seed in (1, 2)]
    assert ", ".join(best) in rows[0]


def test_where_no_run_came_to_its_end_there_is_no_table(made_up):
    data, _ = made_up
    none = data.assign(status=("cell", np.full(data.sizes["cell"], "missing")))
    assert not any("looked at" in line for line in longer_findings(none))


def test_longer_runs_are_looked_at_as_often_as_the_paper_does(tmp_path, capsys):
    """Every 10 batches, and otherwise as those of `claim`, to the bit: a run that is looked at
    oftener is the same run.
    """
    assert {cell["test_every"] for cell in study("longer", "desk").cells} == {10}
    assert {cell["test_every"] for cell in study("claim", "desk").cells} == {100}
    one = dict(study("longer", "smoke").cells[1]) | {"epochs": 2}
    often = study("longer", "smoke").measure(**one)
    seldom = study("longer", "smoke").measure(**one | {"test_every": 5})
    both = seldom["step"].values
    assert 0 < len(both) < often.sizes["step"]
    name = "test_accuracy_within"
    xr.testing.assert_identical(often[name].sel(step=both), seldom[name])
    arguments = ["longer", "--scale", "smoke", "--workers", "0", "--seeds", "1"]
    assert command.main([*arguments, "--output", str(tmp_path)]) == 0
    words = "| rule | epochs | every batch | every 10 batches | ends of epochs |"
    assert words in capsys.readouterr().out
