"""The table of study `overlaps`: what a share of what GRAIT-prop sends down costs, or gains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from analysis.comparison import DATASETS, Difference, paired_difference
from analysis.statistics import told
from studies.overlaps.rule import KEPT, OVERLAPS, RANDOM
from studies.overlaps.study import UNDIVIDED

WORDS = {
    OVERLAPS: "overlaps of rows",
    RANDOM: "random, anew in every step",
    KEPT: "random, one matrix",
}


@dataclass(frozen=True, eq=False)
class Way:
    """Runs that differ in their seed alone, beside those of back-propagation.

    Attributes
    ----------
    dataset, divided : of what images, and whether Adam divides by the size of gradients
    deviation, share : what is sent down beside back-propagation's
    runs, reference : along `cell`, of the same seeds in the same order
    """

    dataset: str
    divided: bool
    deviation: str
    share: float
    runs: xr.Dataset
    reference: xr.Dataset

    def difference(self, name: str) -> Difference:
        """In percentage points, seed by seed, of an accuracy."""
        ours, theirs = (100 * _last(one, name) for one in (self.runs, self.reference))
        return paired_difference(ours, theirs)

    @property
    def loss(self) -> Difference:
        """How much larger the training loss of the last epoch is, in per cent of BP's."""
        ours, theirs = (_last(one, "learning_loss") for one in (self.runs, self.reference))
        return paired_difference(100 * ours / theirs, np.full(len(ours), 100.0))


def ways(data: xr.Dataset) -> Iterator[Way]:
    """Data set by data set all that was sent, back-propagation (share 0) last of each."""
    data = data.isel(cell=data["status"].values == "completed")
    usual = data["epsilon"].values < float(str(UNDIVIDED["epsilon"]))
    for dataset in dict.fromkeys(map(str, data["dataset"].values)):
        for divided in (True, False):
            here = (data["dataset"].values == dataset) & (usual == divided)
            named = zip(data["deviation"].values, data["share"].values, strict=True)
            each = list(zip(here, named, strict=True))
            for way in sorted({one for mine, one in each if mine}, key=_order):
                parts = [
                    data.isel(cell=[mine and one == kind for mine, one in each]).sortby("seed")
                    for kind in (way, (OVERLAPS, 0.0))
                ]
                both = (set(part["seed"].values.tolist()) for part in parts)
                common = sorted(set.intersection(*both))
                runs, reference = (
                    part.isel(cell=np.isin(part["seed"].values, common)) for part in parts
                )
                if common:
                    yield Way(dataset, divided, *way, runs, reference)


def _order(way: tuple[str, float]) -> tuple[int, float]:
    return list(WORDS).index(way[0]), way[1]


def _last(data: xr.Dataset, name: str) -> np.ndarray:
    """A variable of every run; of one by epoch the last."""
    values = data[name]
    return np.asarray(values.isel(epoch=-1) if "epoch" in values.dims else values, dtype=float)


def findings(data: xr.Dataset) -> list[str]:
    """A row for every way, minus back-propagation, seed by seed."""
    rows = []
    for way in ways(data):
        cosine = way.runs["alignment"].isel(epoch=-1, layer=0).values
        test = way.difference("test_accuracy_chosen")
        is_reference = way.deviation == OVERLAPS and way.share == 0
        rows.append(
            {
                "data set": DATASETS[way.dataset],
                "Adam divides": "yes" if way.divided else "no",
                "sent beside W^T": WORDS[way.deviation],
                "share": f"{way.share:g}",
                "seeds": test.pairs,
                "test, %": told(100 * way.runs["test_accuracy_chosen"].values, ".2f"),
                "minus BP": "" if is_reference else told(test.each, "+.2f"),
                "so": "" if is_reference else test.verdict(1.0),
                "training loss over BP's, %": "" if is_reference else told(way.loss.each, "+.1f"),
                "cosine, layer 1": told(cosine, ".4f", ".1g"),
            }
        )
    return [
        "overlaps: share 0 is back-propagation, 1 GRAIT-prop for small gamma, -1 what it sends "
        "beside with the sign reversed; means and 95 % t intervals, differences paired by seed",
        pd.DataFrame(rows).to_string(index=False) if rows else "nothing completed",
    ]
