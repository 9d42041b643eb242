"""What pages say of 40 epochs at the paper's size, against the runs in plain loops."""

from __future__ import annotations

import pytest
import xarray as xr

from tests.studies.test_desk_results import FULL, ROOT, RULES, by_kind, of_epochs

EPOCHS, BATCHES = 40, 900
SPACINGS = (10, 100, BATCHES)  # batches from one look at the test images to the next


def of_first_seed(epochs: int) -> dict[str, xr.Dataset]:
    """The runs with lambda 0.1 and full width on MNIST, by rule."""
    runs = by_kind(of_epochs(epochs))
    return {rule: runs[FULL, "mnist", rule, 0.1][1] for rule in RULES.values()}


@pytest.fixture(scope="module")
def longer() -> dict[str, xr.Dataset]:
    return of_first_seed(EPOCHS)


@pytest.fixture(scope="module")
def text() -> str:
    return (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def peak(run: xr.Dataset, every: int, last: int, first: int = 1) -> float:
    """In percent, over looks after so many batches of an epoch and at its end."""
    best = 0.0
    looks = zip(run["step"].values, run["test_accuracy_within"].values, strict=True)
    for step, accuracy in looks:
        epoch, batch = divmod(int(step) - 1, BATCHES)
        if first <= epoch + 1 <= last and (batch + 1) % every == 0:
            best = max(best, 100 * float(accuracy))
    return best


def span(values: list[float], form: str = ".2f") -> str:
    low, high = (f"{each:{form}}" for each in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def test_the_runs_are_those_of_the_paper_s_looks(longer):
    for run in longer.values():
        assert run["status"] == "completed"
        assert run["step"].values.tolist() == list(range(10, EPOCHS * BATCHES + 1, 10))


@pytest.mark.parametrize("last", [20, EPOCHS])
@pytest.mark.parametrize("name", RULES)
def test_the_table_of_peaks_is_what_the_runs_say(longer, text, name, last):
    words = []
    for every in SPACINGS:
        own, bp = (peak(longer[rule], every, last) for rule in (RULES[name], "bp"))
        words.append(f"{own:.2f}" + (f" ({own - bp:+.2f})" if name != "BP" else ""))
    assert f"| {name} | 1 to {last} | {' | '.join(words)} |" in text


def test_what_a_peak_owes_to_how_often_one_looks_is_what_the_runs_say(longer, text):
    often, seldom, ends = (
        {rule: peak(run, every, EPOCHS) for rule, run in longer.items()} for every in SPACINGS
    )
    more = span([often[rule] - seldom[rule] for rule in often])
    most = span([often[rule] - ends[rule] for rule in often])
    assert f"{more} points above those of every 100, and {most} above those of ends" in text
    moved = [
        abs((found[rule] - found["bp"]) - (often[rule] - often["bp"]))
        for found in (seldom, ends)
        for rule in ("gait", "grait")
    ]
    assert f"differences from BP move by at most {max(moved):.2f} points" in text


def test_what_more_epochs_change_is_what_the_runs_say(longer, text):
    peaks = {
        last: {rule: peak(run, SPACINGS[0], last) for rule, run in longer.items()}
        for last in (15, EPOCHS)
    }
    added = {rule: peaks[EPOCHS][rule] - peaks[15][rule] for rule in RULES.values()}
    words = ", ".join(f"{name} {added[rule]:+.2f}" for name, rule in RULES.items())
    assert f"Epochs 16 to 40 add to the peak: {words} points" in text
    less = [
        f"{peaks[last][rule] - peaks[last]['bp']:+.2f}"
        for last in (15, EPOCHS)
        for rule in ("gait", "grait")
    ]
    findings = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    ahead = (f"{float(words):.2f}" for words in less[2:])
    assert "are {} and {} points ahead of back-propagation".format(*ahead) in findings
    ends = [
        peak(longer[rule], BATCHES, EPOCHS) - peak(longer["bp"], BATCHES, EPOCHS)
        for rule in ("gait", "grait")
    ]
    behind = (f"{-each:.2f}" for each in ends)
    assert "and {} and {} behind at the peak of ends of epochs".format(*behind) in findings
    words = "By looks at the ends of epochs {:+.2f} and {:+.2f} points are left after 40"
    assert words.format(*ends) in text
    words = "lie at {} and {} points from BP after 15 epochs, and at {} and {} after 40"
    assert words.format(*less) in text
    assert all(run["train_accuracy"][-1] == 1 for run in longer.values())
    assert "All three have learnt every training image by then" in text
    losses = [f"{float(longer[rule]['learning_loss'][-1]):.4f}" for rule in RULES.values()]
    assert "in the last epoch is {}, GAIT-prop's {} and GRAIT-prop's {}".format(*losses) in text
    (cosine, length), before = (
        [float(longer["gait"][name][at, 0]) for name in ("alignment", "alignment_norm")]
        for at in (EPOCHS, 15)
    )
    words = f"GAIT-prop's cosine with BP in layer 1 is then {cosine:.3f}, its length {length:.2f}"
    assert f"{words} of BP's (15 epochs: {before[0]:.3f} and {before[1]:.2f})" in text
    assert f"GRAIT-prop's is still {float(longer['grait']['alignment'][-1, 0]):.3f}" in text


def test_the_first_epochs_are_those_of_the_claim_to_the_last_image(longer, text):
    """Of runs on another processor, which looked at test images every 100 batches."""
    short = of_first_seed(15)
    name = "test_accuracy_within"
    for rule in RULES.values():
        steps = short[rule]["step"].values
        assert steps.tolist() == list(range(100, 15 * BATCHES + 1, 100))
        xr.testing.assert_equal(longer[rule][name].sel(step=steps), short[rule][name])
    assert "test accuracies after every 100 batches are the same to the last image" in text
