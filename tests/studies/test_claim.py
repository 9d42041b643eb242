"""The claim: accuracies within epochs, differences seed by seed, and what may be said of them."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.container import ErrorbarContainer
from scipy.stats import t, ttest_1samp

from analysis.comparison import paired_difference
from circuit.learning.step import begin_learning, learn
from studies.paper_figures.claim import claim_findings, contests, verdict
from studies.paper_figures.claim_figure import curves, differences
from studies.paper_figures.study import study
from studies.training_run import pooled_images
from training.plan import Plan, generator, initial_network, prepare

FULL, NARROW = "8-8-8", "8-8-4"


def literal_accuracies(plan: Plan, steps: list[int]) -> dict[int, float]:
    """Fraction right of all test images after so many steps, image by image, in a plain loop over
    batches that `train` has no part in.
    """
    train, test = pooled_images("digits", None, 1)
    material = prepare(plan, train, test)
    learner = begin_learning(initial_network(plan, 10), plan.lesson)
    draw, found = generator(plan.seeds[0], "order"), {}
    while learner.steps < max(steps):
        order = draw.permutation(material.learning[0])
        for start in range(0, len(order), plan.batch):
            rows = order[start : start + plan.batch]
            learner, _ = learn(learner, plan.lesson, material.inputs[rows], material.targets[rows])
            if learner.steps in steps:
                right = 0
                for pixels, label in zip(test.inputs, test.labels, strict=True):
                    rates = pixels
                    for w, b in zip(learner.network.weights, learner.network.biases, strict=True):
                        drive = w @ rates + b
                        rates = np.where(drive > 0, drive, 0.1 * drive)
                    right += int(np.argmax(rates[:10]) == label)
                found[learner.steps] = right / len(test.labels)
    return found


def test_accuracies_within_epochs_are_those_of_the_network_then():
    """400 images of which 360 are learnt from, in batches of 70: six an epoch, looked at after the
    second and fourth, and after the sixth, which is the end.
    """
    cell = dict(study("claim", "smoke").cells[1])
    lesson_of_cell = {name: cell[name] for name in ("rule", "gamma", "orthogonality")}
    assert lesson_of_cell == {"rule": "gait", "gamma": 1e-3, "orthogonality": 0.1}
    cell |= {"batch": 70, "epochs": 2, "test_every": 2}
    result = study("claim", "smoke").measure(**cell)
    assert result["step"].values.tolist() == [2, 4, 6, 8, 10, 12]
    plan = _plan(cell)
    expected = literal_accuracies(plan, [2, 4, 6, 8, 10, 12])
    # the sums of a product are taken in another order: an image or two may go the other way
    within = result["test_accuracy_within"].values
    assert np.abs(within - list(expected.values())).max() <= 2 / 360
    assert len(set(within)) > 3
    assert result["test_accuracy_peak_within"] == within.max()
    assert within[[2, 5]].tolist() == result["test_accuracy"].values[1:].tolist()


def _plan(cell: dict[str, object]) -> Plan:
    from circuit.learning.lesson import Lesson
    from circuit.learning.regulariser import Regulariser
    from circuit.settings.learning import Adam

    lesson = Lesson("gait", 1e-3, adam=Adam(cell["learning_rate"]), pull=Regulariser(0.1))
    widths = tuple(map(int, str(cell["widths"]).split("-")))
    return Plan(lesson, widths, seeds=(1,), batch=70, train_images=400, validation=0.1)


def test_without_looking_within_epochs_nothing_is_kept_of_it():
    cell = dict(study("claim", "smoke").cells[0]) | {"epochs": 1}
    looked, not_looked = (
        study("claim", "smoke").measure(**cell | {"test_every": every}) for every in (5, 0)
    )
    assert "step" not in not_looked.dims
    xr.testing.assert_identical(
        looked.drop_dims("step").drop_vars("test_accuracy_peak_within"), not_looked
    )


# --- what may be said ---


def runs(**accuracies: dict[int, float]) -> xr.Dataset:
    """Made-up runs: name of a entrant -> seed -> accuracy in %, NaN where it is missing.

    At the end it is that, at the chosen epoch a point less, at the peak a point more.
    """
    kinds = {
        "bp": ("bp", "", 0.1, FULL),
        "bp_free": ("bp", "", 0.0, FULL),
        "gait": ("gait", "", 0.1, FULL),
        "circuit": ("circuit", "grait", 0.1, FULL),
        "narrow_bp": ("bp", "", 0.1, NARROW),
        "narrow_gait": ("gait", "", 0.1, NARROW),
    }
    rows = [(*kinds[name], seed, a) for name, by in accuracies.items() for seed, a in by.items()]
    rule, pathway, strength, widths, seed, accuracy = map(np.array, zip(*rows, strict=True))
    count, missing = len(rows), np.isnan(accuracy)
    steps = np.array([5, 10])
    columns = {
        "test_accuracy_end": accuracy / 100,
        "test_accuracy_chosen": (accuracy - 1) / 100,
        "test_accuracy_peak_within": (accuracy + 1) / 100,
        "train_accuracy_peak": accuracy / 100,
        "status": np.where(missing, "missing", "completed"),
    }
    coordinates = {
        "rule": rule,
        "pathway": pathway,
        "orthogonality": strength,
        "widths": widths,
        "seed": seed,
        "dataset": np.full(count, "mnist"),
        "learning_rate": np.full(count, 1e-4),
        "epochs": np.full(count, 15),
        "test_every": np.full(count, 5),
    }
    data = xr.Dataset(
        {name: ("cell", values) for name, values in columns.items()},
        {name: ("cell", values) for name, values in coordinates.items()} | {"step": steps},
    )
    within = np.stack([accuracy - 2, accuracy], axis=1) / 100
    return data.assign(test_accuracy_within=(("cell", "step"), within))


BP = {1: 98.0, 2: 98.2, 3: 97.9, 4: np.nan}
GAIT = {1: 97.9, 2: 98.15, 3: 97.9, 4: 98.0}
EXAMPLE = {
    "bp": BP,
    "gait": GAIT,
    "bp_free": {seed: value + 0.6 for seed, value in BP.items()},
    "circuit": {2: 98.1},
    "narrow_bp": {1: 97.0, 2: 96.0},
    "narrow_gait": {1: 96.0, 2: 95.5},
}


def row(lines: list[str], *words: str) -> list[str]:
    """The one row whose first cells are `words`."""
    split = [[word.strip() for word in line.strip("|").split("|")] for line in lines]
    (found,) = [one for one in split if one[: len(words)] == list(words)]
    return found[len(words) :]


def of_full_width(lines: list[str]) -> list[str]:
    """Those of the first contest."""
    return lines[: lines.index(f"MNIST, {NARROW}; 4 of 4 runs finished")]


def test_rules_are_held_against_bp_with_their_lambda_seed_by_seed():
    lines = of_full_width(claim_findings(runs(**EXAMPLE)))
    each = np.array([-0.1, -0.05, 0.0])  # seed 4 has no partner
    half = t.ppf(0.975, 2) * each.std(ddof=1) / np.sqrt(3)
    p = ttest_1samp(each, -0.3, alternative="greater").pvalue
    for moment in ("peak", "chosen epoch", "end"):
        found = row(lines, "GAIT-prop, lambda 0.1", "BP, lambda 0.1", moment)
        assert found[:4] == ["3", f"-0.05 +- {half:.2f}", f"{p:.2g}", "level"]
    free = row(lines, "GAIT-prop, lambda 0.1", "BP, lambda 0", "end")
    assert free[1].startswith("-0.65") and free[3] == "behind"
    ahead = row(lines, "BP, lambda 0", "BP, lambda 0.1", "end")
    assert ahead[0] == "3" and ahead[1].startswith("+0.60") and ahead[3] == "ahead"
    one_seed = row(lines, "circuit (GRAIT pathway), lambda 0.1", "BP, lambda 0.1", "end")
    assert one_seed == ["1", "-0.10", "-", "one seed", "-"]


def test_how_many_runs_are_in_is_said():
    lines = claim_findings(runs(**EXAMPLE))
    assert f"MNIST, {FULL}; 11 of 13 runs finished" in lines
    assert f"MNIST, {NARROW}; 4 of 4 runs finished" in lines
    lines = of_full_width(lines)
    assert (
        row(lines, "BP, lambda 0.1", "0.0001", "3 of 4")[1]
        == f"{np.mean([97.0, 97.2, 96.9]):.2f} +- 0.38"
    )
    assert claim_findings(runs(**EXAMPLE).drop_vars("test_accuracy_end")) == []


def test_a_run_that_failed_is_told_of_beside_the_accuracies_that_it_had():
    """Seed 2 of GAIT-prop has a peak, and a chosen epoch, and no end."""
    data = runs(**EXAMPLE)
    (place,) = np.flatnonzero(
        (data["rule"] == "gait") & (data["seed"] == 2) & (data.widths == FULL)
    )
    data["test_accuracy_end"][place] = np.nan
    data["status"] = data["status"].astype(object)
    data["status"][place] = "training failed: epoch 9, batch 3: W of layer 1 holds nan"
    lines = of_full_width(claim_findings(data))
    assert row(lines, "GAIT-prop, lambda 0.1", "0.0001")[0] == "4 of 4; 1 failed"
    assert row(lines, "BP, lambda 0.1", "0.0001")[0] == "3 of 4"


def test_verdicts():
    """Differences in points that were worked out beforehand: half the 95 % interval is 2.48 times
    the spread of three, half the 90 % interval 1.69 times.
    """
    verdicts = {
        "level": [-0.02, 0.0, 0.02],
        "behind": [-0.9, -1.0, -1.1],
        "ahead": [0.5, 0.6, 0.7],
        "undecided": [-0.5, 0.0, 0.5],
        "one seed": [0.0],
        "-": [],
    }
    for word, each in verdicts.items():
        values = np.array(each) / 100
        assert verdict(paired_difference(values, np.zeros(len(each)))) == word


def test_pictures_show_what_is_there_and_how_much():
    data = runs(**EXAMPLE)
    figure = differences(data)
    (axes,) = figure.axes
    labels = [one.get_text() for one in axes.get_yticklabels()]
    assert len(labels) == 4 and labels[0] == "GAIT-prop, lambda 0.1\nMNIST, full width"
    assert "BP, lambda 0.1" in axes.get_xlabel()
    assert "15 of 17 runs finished" in " ".join(text.get_text() for text in figure.texts)
    drawn = np.concatenate([line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 3])
    for difference in (-0.1, -0.05, 0.0):
        assert np.isclose(drawn, difference).sum() == 3


def test_errors_within_epochs_are_drawn_with_the_best_so_far():
    """Looked at three times an epoch, of four; the title says what the last two add to the peak."""
    seen = {
        "bp": [50, 60, 90, 91, 93, 92, 94, 93, 93, 94.5, 94, 93],
        "gait": [50, 55, 80, 85, 92.25, 91, 90, 91, 92, 91, 90, 92],
    }
    data = runs(bp={1: 93.0}, gait={1: 92.0}, circuit={1: np.nan}).drop_dims("step")
    within = np.array([*seen.values(), [np.nan] * 12]) / 100
    data = data.assign(test_accuracy_within=(("cell", "step"), within))
    data = data.assign_coords(step=np.arange(1, 13) * 10, epochs=("cell", [4] * 3))
    figure = curves(data)
    lines = figure.axes[0].lines
    assert len(lines) == 2 * len(seen)
    for accuracies, (thin, bold) in zip(seen.values(), (lines[:2], lines[2:]), strict=True):
        literal = [100 - max(accuracies[: count + 1]) for count in range(2, 12)]
        np.testing.assert_allclose(thin.get_ydata(), 100 - np.array(accuracies[2:]))
        np.testing.assert_allclose(bold.get_ydata(), literal)
        np.testing.assert_allclose(bold.get_xdata(), np.arange(3, 13) / 3)
    title = figure.get_suptitle()
    assert "of 4 epochs" in title and "2 of 3 runs" in title
    assert "\nBP 94.50 (+1.50), GAIT-prop 92.25 (+0.00)\n" in title


def test_a_rule_that_is_far_behind_has_its_differences_in_words():
    """A low row of its own; one that is far at the end alone has its row, and an arrow in it."""
    far = dict.fromkeys((1, 2, 3), 90.0)
    data = runs(**EXAMPLE | {"circuit": far})
    lower = (data["rule"] == "gait") & (data["widths"] == FULL)
    data["test_accuracy_end"] = data["test_accuracy_end"] - 0.02 * lower
    (axes,) = differences(data).axes
    assert [one.get_text() for one in axes.texts] == [
        "-2.0",
        "-8.0, -8.0, -8.0 (peak, chosen epoch, end)",
    ]
    labels = [one.get_text().split(",")[0] for one in axes.get_yticklabels()]
    assert labels == ["GAIT-prop", "BP", "circuit (GRAIT pathway)", "GAIT-prop"]
    np.testing.assert_allclose(np.diff(axes.get_yticks()), [1.0, 0.8, 0.8])


def test_an_interval_is_drawn_of_three_seeds_or_more():
    """Of GAIT-prop and of BP without lambda; not of the circuit's one, nor of two below."""
    figure = differences(runs(**EXAMPLE))
    bars = [one for one in figure.axes[0].containers if isinstance(one, ErrorbarContainer)]
    drawn = sorted(round(float(one.lines[0].get_ydata()[0])) for one in bars)
    assert drawn == [0, 0, 0, 1, 1, 1]
    assert "three seeds or more" in figure.get_suptitle()


def test_the_picture_s_title_counts_where_rules_are_level_with_bp():
    """Of three seeds or more and the lambda of BP: not BP without, nor narrow layers of two."""
    title = differences(runs(**EXAMPLE)).get_suptitle()
    assert "level with BP within 0.3 points: GAIT-prop in 1 of 1\n" in title
    three = dict.fromkeys((1, 2, 3), 97.0)
    narrow = {"narrow_bp": three, "narrow_gait": {1: 96.0, 2: 96.1, 3: 95.9}}
    circuit = {"circuit": {seed: value + 2.0 for seed, value in BP.items()}}
    title = differences(runs(**EXAMPLE | narrow | circuit)).get_suptitle()
    assert "points: GAIT-prop in 1 of 2, circuit in 0 of 1\n" in title
    assert "level" not in differences(runs(bp={1: 98.0}, gait={1: 98.0})).get_suptitle()


def test_pictures_of_no_run_at_all():
    data = runs(**{name: dict.fromkeys(by, np.nan) for name, by in EXAMPLE.items()})
    assert not differences(data).axes[0].get_yticklabels()
    assert not curves(data).axes[0].lines
    assert contests(data)[0].reference is not None


@pytest.mark.parametrize("strength", [0.1, 0.0])
def test_the_reference_is_bp_with_the_lambda_of_the_others(strength):
    data = runs(bp=BP, bp_free=BP, gait=GAIT)
    data["orthogonality"][data["rule"] == "gait"] = strength
    reference = contests(data)[0].reference
    assert reference is not None and reference.strength == strength


@pytest.mark.parametrize(
    ("entrants", "why"),
    [
        (("bp", "bp_free", "gait"), "TP, lambda 1000, and BP has lambda 0.1 and 0"),
        (("bp", "bp_free"), "there are runs of BP alone"),
        (("gait",), "there are no runs of BP"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(entrants, why):
    """The authors' TP has lambda 1000, which no run of BP has: `--rules bp tp`."""
    data = runs(**{name: EXAMPLE[name] for name in ("narrow_bp", "narrow_gait", *entrants)})
    if "TP" in why:
        full = (data["rule"] == "gait") & (data["widths"] == FULL)
        data = data.assign_coords(
            rule=("cell", np.where(full, "tp", data["rule"])),
            orthogonality=("cell", np.where(full, 1000.0, data["orthogonality"])),
        )
    lines = claim_findings(data)
    said = f"MNIST, {FULL}: nothing is compared with BP: {why}; add bp and gait to --rules"
    assert [line for line in lines if "nothing is compared" in line] == [said]
    assert row(lines, "GAIT-prop, lambda 0.1", "BP, lambda 0.1", "end")[0] == "2"  # of the others
    alone = data.isel(cell=np.flatnonzero(data["widths"] == FULL))
    assert "BP, with which nothing is compared" in differences(alone).axes[0].get_xlabel()
    assert not any("nothing is compared" in line for line in claim_findings(runs(**EXAMPLE)))
