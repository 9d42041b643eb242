"""The table of study `noisy_learning`, and what its pictures take from the cells."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import xarray as xr

from analysis.statistics import told
from studies.noisy_learning.reading import BP, GAIT
from studies.noisy_learning.study import MIDDLE, TOP, WHOLE
from studies.noisy_learning.theory import cosine, largest_noise
from studies.training_run import FAILED

SETTING = ("dataset", "depth", "epochs", "batch")  # what cells have in common with their controls


def findings(data: xr.Dataset) -> list[str]:
    """Lines to print: of every cell the accuracy (mean +- half a 95 % interval over seeds, in
    percent), the learning rate that validation chose, and the predicted cosines; and what failed.
    """
    lost, data = failures(data), done(data)
    rates, accuracy = chosen(data)
    before, after = predicted(data, "before"), predicted(data, "after")
    settled = _at_rate(data, "settled", rates).mean(axis=1)
    head = f"{'way':<34}{'noise':>8}{'accuracy':>16}{'rate':>8}{'cosine':>14}{'settled':>14}"
    lines = [
        "noisy_learning: test accuracy in percent, learning rate, predicted cosine of the worst "
        "layer before and after learning, fraction of the images that settled in the last epoch"
    ]
    last: tuple[object, ...] = ()
    for cell in range(data.sizes["cell"]):
        here = tuple(data[name].values[cell] for name in SETTING)
        if here != last:
            lines += ["", _setting(here), head]
            last = here
        lines.append(
            f"{name_of(data, cell):<34}{data['noise'].values[cell]:>8g}"
            f"{told(100 * accuracy[cell], '.1f'):>16}{rates[cell]:>8g}"
            f"{before[cell]:>8.3f}{after[cell]:>8.3f}{settled[cell]:>12.4f}"
        )
    return [*lines, "", *_best(data, accuracy, after), *lost]


def _setting(values: Sequence[object]) -> str:
    dataset, depth, epochs, batch = values
    return f"{dataset}, {depth} hidden layers, {epochs} epochs, batches of {batch}"


def _best(data: xr.Dataset, accuracy: np.ndarray, after: np.ndarray) -> list[str]:
    """For every setting and noise the strength, one for all layers, that learns best, and those
    that the prediction at the weights after learning has best, for one image and for all.
    """
    alone = where(data, way=GAIT, below=math.nan, readout="mismatch")
    names = (*SETTING, "noise")
    groups: dict[tuple[object, ...], list[int]] = {}
    for cell in alone:
        groups.setdefault(tuple(data[name].values[cell] for name in names), []).append(int(cell))
    single = predicted(data, "after", 1.0)
    lines = [
        "noisy_learning: best of the strengths measured, and predicted from all images and from one"
    ]
    for setting, cells in groups.items():
        if len(cells) > 2:
            best = [
                f"{data['gamma'].values[max(cells, key=lambda one: by[one])]:g}"
                if np.isfinite(by[cells]).all()
                else "nothing predicted"
                for by in (accuracy.mean(axis=1), after, single)
            ]
            words = ", ".join(f"{name} {value}" for name, value in zip(names, setting, strict=True))
            lines.append(f"{words}: {'; '.join(best)}")
    return lines if len(lines) > 1 else []


def done(data: xr.Dataset) -> xr.Dataset:
    """The cells that have been measured and came to an end at some learning rate; NaN for what is
    predicted from weights that back-propagation was to teach and did not (`stopped`).
    """
    untaught = xr.DataArray(stopped(data), dims="cell") & (data["moment"] == "after")
    kept = {name: one.where(~untaught) for name, one in data.items() if "moment" in one.dims}
    return data.assign(kept).isel(cell=np.flatnonzero(_ended(data).any("rate").values))


def _ended(data: xr.Dataset) -> xr.DataArray:
    """Whether all networks came to an end, (cell, rate)."""
    return data["validation_accuracy"].notnull().all("seed")


def stopped(data: xr.Dataset) -> np.ndarray:
    """Whether back-propagation without noise failed at the middle learning rate in the setting of a
    cell, (cell,): then it failed in `measure` too, and older cells hold what it left.
    """
    found = np.zeros(data.sizes["cell"], dtype=bool)
    for cell in where(data, way=BP, noise=0.0, layers=WHOLE):
        rates = str(data["rates"].values[cell]).split()
        ended = _ended(data).isel(cell=cell).sel(rate=float(rates[len(rates) // 2]))
        if str(data["status"].values[cell]).startswith(FAILED) and not ended:
            found[where(data, **{name: data[name].values[cell] for name in SETTING})] = True
    return found


def failures(data: xr.Dataset) -> list[str]:
    """What failed, a line each: ways of learning, at every learning rate; and back-propagation
    where something was to be predicted from the weights that it comes to.
    """
    ended, untaught = _ended(data).any("rate").values, stopped(data)
    lines: dict[str, None] = {}
    for cell, status in enumerate(map(str, data["status"].values)):
        here = _setting([data[name].values[cell] for name in SETTING])
        if status.startswith(FAILED) and not ended[cell]:
            noise = data["noise"].values[cell]
            lines[f"{here}: {name_of(data, cell)}, noise {noise:g}: {status}"] = None
        if untaught[cell]:
            lines[f"{here}: back-propagation failed, nothing is predicted from its weights"] = None
    return [f"noisy_learning: left out: {line}" for line in lines]


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
    rates = np.where(ended, data["rate"].values[best], np.nan)
    return rates, _at_rate(data, "test_accuracy", rates)


def _at_rate(data: xr.Dataset, name: str, rates: np.ndarray) -> np.ndarray:
    """(cell, seed) at the learning rate of each cell, NaN where there is none."""
    values = data[name].transpose("cell", "rate", "seed").values
    at = np.argmax(data["rate"].values == rates[:, None], axis=1)
    return np.where(np.isnan(rates)[:, None], np.nan, values[np.arange(len(at)), at])


def predicted(data: xr.Dataset, moment: str, shown: float | None = None) -> np.ndarray:
    """Eq. 1 of `studies.noisy_learning.theory` for the layer of which it is least, (cell,); mean
    over seeds.

    Parameters
    ----------
    shown : images; those of each cell if None
    """
    along, size, unit, images = _prospects(data, moment)
    images = images if shown is None else np.full_like(images, shown)
    found = cosine(along, size, data["noise"].values[:, None, None] * unit, images)
    return np.asarray(np.fmin.reduce(found, axis=-1).mean(axis=-1))


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
    return dict(zip(SETTING, Counter(found).most_common(1)[0][0], strict=True))


def controls(data: xr.Dataset, cell: int) -> tuple[float, float]:
    """Mean accuracies without a hidden layer and with frozen ones, without noise, on the images of
    the cell, as long, in as large batches. NaN for what is not there.
    """
    return _controls(data, chosen(data)[1], cell)


def _controls(data: xr.Dataset, accuracy: np.ndarray, cell: int) -> tuple[float, float]:
    same = {name: data[name].values[cell] for name in SETTING} | {"noise": 0.0, "way": BP}
    linear = where(data, **(same | {"depth": 0.0}))
    frozen = where(data, **(same | {"layers": TOP}))
    return (
        float(accuracy[linear[0]].mean()) if len(linear) else math.nan,
        float(accuracy[frozen[0]].mean()) if len(frozen) else math.nan,
    )


def learns(data: xr.Dataset) -> np.ndarray:
    """Whether a cell is above both controls, (cell,): what they cannot do has been learnt. Not of a
    cell one of whose controls is not there.
    """
    _, accuracy = chosen(data)
    bars = [np.max(_controls(data, accuracy, cell)) for cell in range(len(accuracy))]
    return np.asarray(accuracy.mean(axis=-1) > np.array(bars))


def threshold(data: xr.Dataset, moment: str = "after") -> float:
    """The predicted cosine that best parts circuits that learn from those that do not: with the
    fewest on the wrong side of it, in the middle of the gap. NaN where there are less than two.
    """
    cells = _of_circuits(data)
    cosines, right = predicted(data, moment)[cells], learns(data)[cells]
    cosines, right = cosines[np.isfinite(cosines)], right[np.isfinite(cosines)]
    if len(cosines) < 2:
        return math.nan
    order = np.argsort(cosines)
    cosines, right = cosines[order], right[order]
    wrong = [int(right[:at].sum() + (~right[at:]).sum()) for at in range(1, len(right))]
    best = 1 + int(np.argmin(wrong))
    return float((cosines[best - 1] + cosines[best]) / 2)


def _of_circuits(data: xr.Dataset) -> np.ndarray:
    """Cells of circuits on the images of most cells, of those whose controls are there."""
    here = where(data, dataset=usual(data)["dataset"], layers=WHOLE)
    there = [cell for cell in here if data["way"].values[cell] != BP]
    _, accuracy = chosen(data)
    kept = [cell for cell in there if np.isfinite(_controls(data, accuracy, cell)).all()]
    return np.array(kept, dtype=int)
