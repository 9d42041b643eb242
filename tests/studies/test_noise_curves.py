"""Curves over feedback strength: from cells in any order, against power laws solved by hand."""

import numpy as np
import pytest
import xarray as xr

from studies.noise.curves import SIGMA, Curve, broken, curves, exponents, optima, select

GAMMAS = np.geomspace(1e-3, 0.3, 16)
SEEDS = (3, 8)
DURATIONS = (1.0, 100.0)
CASE = Curve(depth=2, layer=2)


def bias_of(seed, gamma, layer):
    """Of order gamma^layer."""
    return (0.5 + 0.1 * seed) * gamma**layer


def noise_of(seed, gamma, layer, duration):
    """Falling as gamma^-1, and steeper in short averages; as 1 / sqrt(duration)."""
    passes = 1 if duration == 100.0 else 3
    return (2.0 + seed) * layer * gamma ** -float(passes) / np.sqrt(duration)


def made_up(rng):
    """Cells of two seeds in a random order, among others of which only one parameter is another."""
    wanted = {"depth": 2, "pathway": "gait", "activation": "asinh", "init": "orthogonal"}
    cells = [wanted | {"seed": s, "gamma": g, "noise": 0.01} for s in SEEDS for g in GAMMAS]
    for name, other in (("depth", 3), ("pathway", "itp"), ("activation", "linear")):
        cells += [cell | {name: other, "seed": 3} for cell in cells[:2]]
    cells.append(cells[0] | {"init": "gaussian"})
    for noise in (0.3, 0.1, 1.0):
        cells.append(cells[5] | {"noise": noise})
    cells = [cells[i] for i in rng.permutation(len(cells))]
    layers = (1, 2)
    right = [all(cell[name] == value for name, value in wanted.items()) for cell in cells]
    usual = [good and cell["noise"] == 0.01 for good, cell in zip(right, cells, strict=True)]

    def table(value):
        return np.array([value(c) if u else -1.0 for c, u in zip(cells, usual, strict=True)])

    bias = [table(lambda c, k=k: bias_of(c["seed"], c["gamma"], k)) for k in layers]
    noise = [
        [table(lambda c, k=k, d=d: noise_of(c["seed"], c["gamma"], k, d)) for d in DURATIONS]
        for k in layers
    ]
    bias, noise = np.array(bias).T, np.moveaxis(np.array(noise), 2, 0)
    wrong = np.full_like(bias, -2.0)
    variables = {
        "bias": (
            ("cell", "readout", "layer", "rule"),
            np.stack([np.stack([bias, wrong], 2), np.stack([wrong, wrong], 2)], 1),
        ),
        "update_noise": (
            ("cell", "readout", "layer", "duration"),
            np.stack([noise, np.full_like(noise, -2.0)], 1),
        ),
        "status": (
            "cell",
            ["not finite" if cell["noise"] == 1.0 else "converged" for cell in cells],
        ),
    }
    labels = {"readout": ["shift", "mismatch"], "layer": [1, 2], "rule": ["pathway", "bp"]}
    columns = {name: ("cell", [cell[name] for cell in cells]) for name in cells[0]}
    return xr.Dataset(variables, coords=labels | {"duration": list(DURATIONS)} | columns)


def test_curves_stand_at_their_seed_and_strength(rng):
    """Cell by cell, though cells come in any order and with others between them."""
    data = made_up(rng)
    for layer in (1, 2):
        for duration in DURATIONS:
            found = curves(data, Curve(2, layer), duration)
            assert found["seed"].values.tolist() == list(SEEDS)
            np.testing.assert_array_equal(found["gamma"].values, GAMMAS)
            for i, seed in enumerate(SEEDS):
                for j, gamma in enumerate(GAMMAS):
                    assert found["bias"].values[i, j] == bias_of(seed, gamma, layer)
                    noise = noise_of(seed, gamma, layer, duration)
                    assert found["noise"].values[i, j] == noise


def test_chosen_cells_come_in_the_order_of_gamma_with_the_usual_noise(rng):
    chosen = select(made_up(rng), depth=2, pathway="gait", activation="asinh", seed=8)
    np.testing.assert_array_equal(chosen["gamma"].values, GAMMAS)
    assert set(chosen["noise"].values) == {0.01}
    louder = select(made_up(rng), depth=2, pathway="gait", activation="asinh", noise=0.3)
    assert louder["noise"].values.tolist() == [0.3]


def test_exponents_are_those_of_the_longest_averages(rng):
    """1 / (2 (p + k)) with p = 2 of layer 2 and k = 1; short averages have k = 3."""
    found = exponents(made_up(rng), CASE)
    np.testing.assert_allclose(found, [1 / 6, 1 / 6], rtol=1e-3)
    few = made_up(rng)
    assert exponents(few.isel(cell=few["gamma"].values > 0.02), CASE).size == 0


def test_best_strengths_of_power_laws_also_beyond_the_longest_time(rng):
    """b^2 g^4 + n^2 / g^2 is least at g^6 = n^2 / (2 b^2); beyond, noise falls as time^-1/2."""
    times = np.array([100.0, 400.0, 2500.0])
    strengths, errors = optima(made_up(rng), CASE, times)
    assert strengths.shape == errors.shape == (2, 3)
    for i, seed in enumerate(SEEDS):
        for j, time in enumerate(times):
            b, n = bias_of(seed, 1.0, 2), SIGMA * noise_of(seed, 1.0, 2, 100.0)
            n *= np.sqrt(100.0 / time)
            best = (n**2 / (2 * b**2)) ** (1 / 6)
            assert strengths[i, j] == pytest.approx(best, rel=1e-3)
            assert errors[i, j] == pytest.approx(np.hypot(b * best**2, n / best), rel=1e-3)


def test_series_that_break_the_theory_ascend_in_noise_without_what_is_not_finite(rng):
    ((activation, pathway, cells),) = broken(made_up(rng))
    assert (activation, pathway) == ("asinh", "gait")
    assert cells["noise"].values.tolist() == [0.1, 0.3]
