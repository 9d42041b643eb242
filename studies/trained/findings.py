"""What the study `trained` has found, as a table; and the curves of its pictures.

Owns which network is which, and the best feedback strength where rates are noisy.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from analysis.selection import cells_with, measured
from analysis.statistics import FEWEST, over_repetitions, told
from studies.noise.theory import best_strength

SIGMA = 0.001  # of the rates of isolated units: with 0.01, as in docs/noise.md, hardly any
# circuit that is trained has a best feedback strength before its units rest at their kinks
NAMES = {
    ("nobody", False): "before training",
    ("bp", False): "BP, lambda 0",
    ("bp", True): "BP, lambda {}",
    ("gait", True): "GAIT-prop, lambda {}",
    ("grait", True): "GRAIT-prop, lambda {}",
}
WEAK, MIDDLING, STRONG = (
    1e-3,
    0.1,
    0.3,
)  # feedback strengths of the table; the nearest of those measured


def teachers(data: xr.Dataset) -> Iterator[tuple[str, str, xr.Dataset]]:
    """Name, teacher and cells of every kind of network, in the order of the study."""
    pairs = zip(data["teacher"].values.tolist(), data["orthogonality"].values.tolist(), strict=True)
    for teacher, strength in dict.fromkeys(pairs):
        name = NAMES[teacher, strength > 0].format(f"{strength:g}")
        yield name, teacher, cells_with(data, teacher=teacher, orthogonality=strength)


def by_gamma(part: xr.Dataset, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Feedback strengths, and the values of one pathway's cells as (seeds, strengths)."""
    gammas, seeds = np.unique(part["gamma"].values), np.unique(part["seed"].values)
    table = np.full((len(seeds), len(gammas)), np.nan)
    rows = np.searchsorted(seeds, part["seed"].values)
    table[rows, np.searchsorted(gammas, part["gamma"].values)] = values
    return gammas, table


def first_cosine(part: xr.Dataset) -> np.ndarray:
    """Of the first layer's update, read from the shift, with back-propagation's; of every cell."""
    return np.asarray(part["cosine"].sel(readout="shift", rule="bp", layer=1).values)


def best_of_layer(part: xr.Dataset, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """For every seed the feedback strength at which the layer's update is least wrong, and how
    wrong it is there; NaN where that is not between the strengths that were measured.
    """
    gammas, bias = by_gamma(part, part["bias"].sel(layer=layer).values)
    _, noise = by_gamma(part, SIGMA * part["noise"].sel(layer=layer).values)
    found = [best_strength(gammas, *pair) for pair in zip(bias, noise, strict=True)]
    strengths = np.array([one.strength if one.inside else np.nan for one in found])
    return strengths, np.array([one.error if one.inside else np.nan for one in found])


def findings(data: xr.Dataset) -> list[str]:
    """A table in Markdown: every kind of network with both pathways."""
    data = measured(data, "test_accuracy")
    if not data.sizes["cell"]:
        return ["trained: nothing was measured"]
    gammas = np.unique(data["gamma"].values)
    weak, middling, strong = (
        float(gammas[np.abs(np.log(gammas / one)).argmin()]) for one in (WEAK, MIDDLING, STRONG)
    )
    columns = [
        "network",
        "pathway",
        "test accuracy, %",
        "distance from orthogonality",
        "spread of lengths",
        f"cosine with BP at {weak:g}, layer 1",
        f"at {strong:g}",
        f"settled at {strong:g}",
        f"spectral abscissa at {strong:g}, 1/tau",
        "first kink crossed at",
        f"noise at {middling:g} over that before training, layer 1",
        "best gamma, layer 1",
        "error there",
    ]
    lines = [columns, ["---"] * len(columns)]
    for name, _, cells in teachers(data):
        for pathway in dict.fromkeys(cells["pathway"].values.tolist()):
            part = cells_with(cells, pathway=pathway)
            noise = _times(noise_over_that_before(data, part, middling))
            lines.append([name, pathway.upper(), *_row(part, weak, strong, noise)])
    return [
        f"trained: {int(data['width'].values[0])} units a layer, {int(data['depth'].values[0])} "
        f"hidden layers, {data['dataset'].values[0]}; means over seeds and 95 % intervals; rates "
        f"with noise of {SIGMA:g}, averaged over 1000 tau",
        "",
        *(f"| {' | '.join(words)} |" for words in lines),
    ]


def noise_over_that_before(data: xr.Dataset, part: xr.Dataset, gamma: float) -> np.ndarray:
    """Relative noise of the first layer's update over that of the untaught network of the same
    seed, with one pathway, (seeds,); NaN where one of the two is not known.
    """
    before = cells_with(data, teacher="nobody", pathway=part["pathway"].values[0], gamma=gamma)
    known = dict(zip(before["seed"].values, before["noise"].sel(layer=1).values, strict=True))
    after = cells_with(part, gamma=gamma)
    each = zip(after["seed"].values, after["noise"].sel(layer=1).values, strict=True)
    return np.array([noise / known.get(seed, np.nan) for seed, noise in each])


def _times(values: np.ndarray) -> str:
    """Geometric mean and 95 % interval of positive numbers; of fewer than three, each."""
    there = values[np.isfinite(values)]
    if len(there) < FEWEST:
        return ", ".join(f"{value:.2g}" for value in there) or "-"
    mean, half = over_repetitions(np.log(there))
    low, middle, high = np.exp([mean - half, mean, mean + half])
    return f"{middle:.2g} ({low:.2g} to {high:.2g})"


def _row(part: xr.Dataset, weak: float, strong: float, noise: str) -> list[str]:
    """The numbers of one kind of network with one pathway, among them that of its noise."""
    faint, loud = (cells_with(part, gamma=one) for one in (weak, strong))
    best, error = best_of_layer(part, 1)
    return [
        told(100 * faint["test_accuracy"].values, ".1f"),
        told(faint["orthogonality_distance"].mean("layer").values, ".2f"),
        told(faint["length_spread"].mean("layer").values, ".2f"),
        told(first_cosine(faint), ".3f"),
        told(first_cosine(loud), ".3f"),
        told(loud["settled_fraction"].values, ".2f"),
        told(loud["spectral_abscissa"].values, ".3f"),
        _times(faint["first_crossing"].values),
        noise,
        told(best, ".2f"),
        told(error, ".2f"),
    ]
