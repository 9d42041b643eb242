"""studies.overlaps: its rule against matrices written out, its table from made-up runs."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from circuit import forward, initialise
from circuit.losses import output_error
from circuit.network import Activity, Network
from circuit.rules import back_propagation, grait_propagation
from studies.overlaps.figures import by_share
from studies.overlaps.findings import findings, ways
from studies.overlaps.rule import DEVIATIONS, KEPT, OVERLAPS, RANDOM, OverlapsSettings, signal
from studies.overlaps.study import measure, study

SHARES = (-1.0, 0.5, 1.0)


@pytest.fixture
def case(rng: np.random.Generator) -> tuple[Network, Activity, np.ndarray]:
    """Gaussian rows, which overlap; auxiliary units below and at the output."""
    network = initialise([7, 7, 6, 5], rng, init="gaussian", n_outputs=4)
    return network, forward(network, rng.standard_normal((9, 7))), rng.standard_normal((9, 4))


def shifts(case: tuple[Network, Activity, np.ndarray], step: int = 0, **settings) -> list:
    network, activity, targets = case
    found = signal(
        network, activity, targets, "quadratic", OverlapsSettings(**settings), {}, step
    ).shifts
    return [found.absolute(layer) for layer in range(1, network.depth + 1)]


@pytest.mark.parametrize("share", SHARES)
def test_what_is_sent_is_a_share_of_the_overlaps_written_out(case, share) -> None:
    """W^T + share (W^T (1 + M)^-1 - W^T) with M = N^-2 W W^T - 1, unit by unit."""
    network, activity, targets = case
    n = network.n_outputs
    expected = np.zeros_like(activity.rates[-1])
    expected[:, :n] = targets - activity.rates[-1][:, :n]
    for layer in range(network.depth, 0, -1):
        found, size = shifts(case, share=share)[layer - 1], np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11 * size)
        W, below = network.weights[layer - 1], np.zeros_like(activity.rates[layer - 1])
        lengths = np.array([sum(w * w for w in row) for row in W])
        M = (W @ W.T) / lengths[:, None] - np.eye(len(W))
        B = W.T + share * (W.T @ np.linalg.inv(np.eye(len(W)) + M) - W.T)
        for image, delta in enumerate(expected):
            below[image, : len(B)] = B @ (activity.slopes[layer - 1][image] * delta)
        expected = below


def test_its_ends_are_back_propagation_and_grait_prop(case) -> None:
    network, activity, targets = case
    error = output_error(network, activity, targets)
    straight = back_propagation(network, activity, error)
    weak = grait_propagation(network, activity, error, 1e-9)
    for layer, (none, all_of_it) in enumerate(
        zip(shifts(case, share=0.0), shifts(case, share=1.0), strict=True), 1
    ):
        np.testing.assert_array_equal(none, straight.absolute(layer))
        gain = 1e-9 ** (network.depth - layer)
        np.testing.assert_allclose(weak.absolute(layer) / gain, all_of_it, rtol=1e-5, atol=1e-9)
        away = np.linalg.norm(all_of_it - none) / np.linalg.norm(none)
        assert (away > 0.1) == (layer < network.depth)  # Gaussian rows do overlap


@pytest.mark.parametrize("deviation", [RANDOM, KEPT])
def test_a_random_deviation_is_as_large_and_kept_or_not(case, deviation) -> None:
    """Layer 2's shift, the first that is sent down, in which nothing else differs."""
    straight = shifts(case, share=0.0)[1]
    size = np.linalg.norm(shifts(case, share=1.0)[1] - straight)
    first, second = (shifts(case, step, deviation=deviation)[1] - straight for step in (3, 4))
    for one in (first, second):
        np.testing.assert_allclose(np.linalg.norm(one), size, rtol=1e-9)
    assert (np.abs(first - second).max() < 1e-12) == (deviation == KEPT)
    half = shifts(case, 3, deviation=deviation, share=0.5)[1] - straight
    np.testing.assert_allclose(half, first / 2, rtol=1e-9, atol=1e-12)


def test_one_thing_is_changed_at_a_time() -> None:
    cells = study("smoke", seeds=(1, 2, 3)).cells
    assert len(cells) == 3 * 11
    for seed in (1, 2, 3):
        mine = [cell for cell in cells if cell["seed"] == seed]
        ways_of = {(cell["deviation"], cell["share"], cell["epsilon"]) for cell in mine}
        assert len(ways_of) == 11
        assert {epsilon for _, share, epsilon in ways_of if share == 0} == {1e-8, 1.0}
        assert {name for name, _, _ in ways_of} == set(DEVIATIONS)
    same = {name for name, value in cells[0].items() if all(c[name] == value for c in cells)}
    varied = {"deviation", "share", "epsilon", "learning_rate", "seed"}
    assert set(cells[0]) - same == varied


def test_a_cell_trains_and_its_rule_is_gone_again() -> None:
    from circuit.peers.table import TABLE

    cell = next(c for c in study("smoke").cells if c["share"] == -1.0)
    data = measure(**(cell | {"epochs": 1, "train_images": 100}))
    assert str(data["status"].values) == "completed"
    cosines = data["alignment"].values[-1]
    assert cosines[-1] == pytest.approx(1)
    assert 0.9 < cosines[0] < 1 - 1e-6
    assert "overlaps" not in TABLE


def made_up() -> xr.Dataset:
    """Three seeds of two data sets; all that was sent, with losses that are known."""
    rows = []
    for dataset in ("kmnist", "fashion_mnist"):
        for seed in (3, 1, 2):
            for deviation, share, loss, test in (
                (OVERLAPS, 0.0, 0.1 * seed, 0.8 + 0.01 * seed),
                (OVERLAPS, 1.0, 0.12 * seed, 0.77 + 0.01 * seed),
                (OVERLAPS, -1.0, 0.095 * seed, 0.82 + 0.01 * seed),
                (RANDOM, 1.0, 0.1 * seed, 0.8 + 0.01 * seed),
                (KEPT, 1.0, 0.1 * seed, 0.8 + 0.01 * seed),
                (RANDOM, 3.0, 0.11 * seed, 0.8 + 0.01 * seed),
            ):
                rows.append((dataset, seed, deviation, share, loss, test))
    dataset, seed, deviation, share, loss, test = map(np.array, zip(*rows, strict=True))
    by_epoch = np.stack([9 * loss, loss], axis=1)
    status = np.full(len(rows), "completed", dtype=object)
    status[[i for i, row in enumerate(rows) if row[:4] == ("kmnist", 2, OVERLAPS, 1.0)]] = "failed"
    return xr.Dataset(
        {
            "learning_loss": (("cell", "epoch"), by_epoch),
            "alignment": (("cell", "epoch", "layer"), np.full((len(rows), 2, 3), 0.5)),
            "test_accuracy_chosen": ("cell", test),
            "status": ("cell", status),
        },
        coords={
            "dataset": ("cell", dataset.astype(object)),
            "seed": ("cell", seed),
            "deviation": ("cell", deviation.astype(object)),
            "share": ("cell", share),
            "epsilon": ("cell", np.full(len(rows), 1e-8)),
            "epoch": [0, 1],
            "layer": [1, 2, 3],
        },
    )


def test_differences_are_paired_and_what_failed_is_left_out_with_its_pair() -> None:
    found = {(way.dataset, way.deviation, way.share): way for way in ways(made_up())}
    assert len(found) == 12
    lost, whole = found["kmnist", OVERLAPS, 1.0], found["fashion_mnist", OVERLAPS, 1.0]
    assert (lost.loss.pairs, whole.loss.pairs) == (2, 3)
    for way in (lost, whole):
        assert way.loss.mean == pytest.approx(20)  # 0.12 / 0.1, every seed
        assert way.loss.half == pytest.approx(0, abs=1e-9)
        assert way.difference("test_accuracy_chosen").mean == pytest.approx(-3)
    _, table = findings(made_up())
    (row,) = [line for line in table.splitlines() if "Fashion" in line and " -1 " in line]
    assert "+2.00 +- " in row and "ahead" in row and "-5.0 +- " in row
    assert findings(made_up().isel(cell=slice(0, 0)))[-1] == "nothing completed"


def test_the_heading_says_what_the_data_say() -> None:
    figure = by_share(made_up())
    words = " ".join(text.get_text() for text in figure.texts)
    assert "GRAIT-prop sends beside +20.0 %" in words
    assert "sign reversed -5.0 %" in words
    assert "random deviations as large +0.0 %" in words
    assert "three times as large +10.0 %" in words
    (loss, _), two = figure.axes, made_up().isel(cell=made_up()["seed"].values < 3)
    assert all(len(bars[2]) for bars in loss.containers)
    drawn = [segment for bars in by_share(two).axes[0].containers for segment in bars[2]]
    assert all(np.ptp(one.get_segments(), axis=1)[:, 1].max() == 0 for one in drawn)
    some = made_up().isel(cell=made_up()["share"].values < 3)
    assert "three times as large not run" in " ".join(t.get_text() for t in by_share(some).texts)
