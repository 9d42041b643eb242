"""The table of study `noisy_learning`, and what its pictures take from the cells."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from analysis.statistics import told
from studies.noisy_learning.reading import BP, GAIT, TOP, WHOLE
from studies.noisy_learning.study import MIDDLE
from studies.noisy_learning.theory import cosine, largest_noise

SETTING = ("dataset", "depth", "epochs", "batch")  # what cells have in common with their controls


def findings(data: xr.Dataset) -> list[str]:
    """Lines to print: of every cell the accuracy (mean +- half a 95 % interval over seeds, in
    percent), the learning rate that validation chose, and the predicted cosines.
    """
    data = done(data)
    rates, accuracy = chosen(data)
    before, after = predicted(data, "before"), predicted(data, "after")
    head = f"{'way':<34}{'noise':>8}{'accuracy':>16}{'rate':>8}{'predicted cosine':>20}"
    lines = ["noisy_learning: test accuracy in percent; cosine before and after learning"]
    last: tuple[object, ...] = ()
    for cell in range(data.sizes["cell"]):
        here = tuple(data[name].values[cell] for name in SETTING)
        if here != last:
            dataset, depth, epochs, batch = here
            lines += [
                "",
                f"{dataset}, {depth} hidden layers, {epochs} epochs, batches of {batch}",
                head,
            ]
            last = here
        lines.append(
            f"{name_of(data, cell):<34}{data['noise'].values[cell]:>8g}"
            f"{told(100 * accuracy[cell], '.1f'):>16}{rates[cell]:>8g}"
            f"{before[cell]:>12.3f}{after[cell]:>8.3f}"
        )
    worst = float(data["settled"].min()) if data["settled"].notnull().any() else math.nan
    return [*lines, "", f"noisy_learning: at least {worst:.4%} of the images of an epoch settled."]


def done(data: xr.Dataset) -> xr.Dataset:
    """The cells that have been measured and came to an end at some learning rate."""
    ended = data["validation_accuracy"].notnull().all("seed").any("rate")
    return data.isel(cell=np.flatnonzero(ended.values))


def name_of(data: xr.Dataset, cell: int) -> str:
    """A way of learning in words."""
    way, layers, depth = (str(data[name].values[cell]) for name in ("way", "layers", "depth"))
    if way == BP:
        if depth == "0":
            return "no hidden layer"
        return "frozen hidden layers" if layers == TOP else "back-propagation"
    gamma, below = (float(data[name].values[cell]) for name in ("gamma", "below"))
    strengths = f"{gamma:g}" if math.isnan(below) else f"{gamma:g}, {below:g} below"
    readout = str(data["readout"].values[cell])
    return f"{way}, {strengths}" + (", shift" if readout == "shift" else "")


def chosen(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The learning rate with the best mean validation accuracy (cell,), and the test accuracies of
    its runs (cell, seed); NaN where no stack came to an end.
    """
    judged = data["validation_accuracy"].transpose("cell", "rate", "seed").values.mean(axis=-1)
    ended = np.isfinite(judged).any(axis=1)
    best = np.argmax(np.where(np.isfinite(judged), judged, -1.0), axis=1)
    tested = data["test_accuracy"].transpose("cell", "rate", "seed").values
    accuracy = tested[np.arange(len(best)), best]
    return np.where(ended, data["rate"].values[best], np.nan), accuracy


def predicted(data: xr.Dataset, moment: str) -> np.ndarray:
    """Eq. 1 of `studies.noisy_learning.theory` for the layer of which it is least, (cell,); mean
    over seeds.
    """
    along, size, unit, images = _prospects(data, moment)
    found = cosine(along, size, data["noise"].values[:, None, None] * unit, images)
    return np.asarray(np.nanmin(found, axis=-1).mean(axis=-1))


def tolerated(data: xr.Dataset, least: float, moment: str = "after") -> np.ndarray:
    """The noise s at which the predicted cosine of each cell's way of learning is `least`, (cell,);
    mean over seeds.
    """
    along, size, unit, images = _prospects(data, moment)
    return np.asarray(largest_noise(along, size, unit, images, least).mean(axis=-1))


def _prospects(data: xr.Dataset, moment: str) -> tuple[np.ndarray, ...]:
    """`along`, `size` and `noise_size` (cell, seed, layer), and the images that a cell is shown."""
    at = data.sel(moment=moment)
    names = ("along", "size", "noise_size")
    found = (at[name].transpose("cell", "seed", "layer").values for name in names)
    return (*found, data["images"].values[:, None, None])


def where(data: xr.Dataset, **values: str | float) -> np.ndarray:
    """The numbers of the cells with these parameters; NaN stands for what a cell lacks."""
    kept = np.ones(data.sizes["cell"], dtype=bool)
    for name, value in values.items():
        there = data[name].values
        lacks = isinstance(value, float) and math.isnan(value)
        kept &= np.isnan(there) if lacks else there == value
    return np.flatnonzero(kept)


def usual(data: xr.Dataset) -> dict[str, str | float]:
    """Data set, depth, epochs and batch of the middle of all axes: those of most cells."""
    middle = where(data, noise=MIDDLE, way=GAIT)
    found = [tuple(data[name].values[cell] for name in SETTING) for cell in middle]
    return dict(zip(SETTING, max(found, key=found.count), strict=True))


def controls(data: xr.Dataset, cell: int) -> tuple[float, float]:
    """Mean accuracies without a hidden layer and with frozen ones, without noise, on the images of
    the cell, as long, in as large batches. NaN for what is not there.
    """
    _, accuracy = chosen(data)
    same = {name: data[name].values[cell] for name in SETTING} | {"noise": 0.0, "way": BP}
    linear = where(data, **(same | {"depth": 0.0}))
    frozen = where(data, **(same | {"layers": TOP}))
    return (
        float(accuracy[linear[0]].mean()) if len(linear) else math.nan,
        float(accuracy[frozen[0]].mean()) if len(frozen) else math.nan,
    )


def learns(data: xr.Dataset) -> np.ndarray:
    """Whether a cell is above both controls, (cell,): what they cannot do has been learnt."""
    _, accuracy = chosen(data)
    bars = [max(controls(data, cell)) for cell in range(len(accuracy))]
    return np.asarray(accuracy.mean(axis=-1) > np.array(bars))


def threshold(data: xr.Dataset, moment: str = "after") -> float:
    """The predicted cosine that best parts circuits that learn from those that do not: with the
    fewest on the wrong side of it, in the middle of the gap.
    """
    cells = _of_circuits(data)
    cosines, right = predicted(data, moment)[cells], learns(data)[cells]
    order = np.argsort(cosines)
    cosines, right = cosines[order], right[order]
    wrong = [int(right[:at].sum() + (~right[at:]).sum()) for at in range(1, len(right))]
    best = 1 + int(np.argmin(wrong))
    return float((cosines[best - 1] + cosines[best]) / 2)


def _of_circuits(data: xr.Dataset) -> np.ndarray:
    """Cells of circuits on the images of most cells."""
    here = where(data, dataset=usual(data)["dataset"], layers=WHOLE)
    return np.array([cell for cell in here if data["way"].values[cell] != BP])
