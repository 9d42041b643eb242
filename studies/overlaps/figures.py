"""The picture of study `overlaps`: what is learnt, by the share of what GRAIT-prop sends down."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analysis.canvas import COLOURS, Drawings, Figure, headline, panels, styled
from analysis.comparison import DATASETS, Difference
from analysis.statistics import over_repetitions
from studies.overlaps.findings import Way, ways
from studies.overlaps.rule import KEPT, OVERLAPS, RANDOM
from studies.overlaps.study import CONTROL_SHARES

HUES = ("itp", "gait", "grait", "tp", "circuit")
APART = {RANDOM: 0.1, KEPT: 0.2}  # to the right of their share, where the controls stand
LABELS = {RANDOM: "random instead", KEPT: "one random matrix instead"}
LOOKS = {RANDOM: "^", KEPT: "v"}


@styled
def by_share(data: xr.Dataset) -> Figure:
    """Training loss and test accuracy against back-propagation's, by share.

    Wants `learning_loss`, `alignment` (cell, epoch, ...), `test_accuracy_chosen` (cell). Runs with
    Adam as it is; means over seeds with 95 % t intervals.
    """
    found = [way for way in ways(data) if way.divided]
    figure, ((loss, test),) = panels(1, 2, figsize=(9.0, 4.3))
    datasets = list(dict.fromkeys(way.dataset for way in found))
    for place, dataset in enumerate(datasets):
        mine = [way for way in found if way.dataset == dataset]
        style = {"color": COLOURS[HUES[place % len(HUES)]], "capsize": 2, "lw": 1.3, "ms": 6}
        for axes, of in ((loss, _loss), (test, _test)):
            line = [way for way in mine if way.deviation == OVERLAPS]
            shares = [way.share + 0.02 * place for way in line]
            mean, half = zip(*map(of, line), strict=True)
            label = f"{DATASETS[dataset]}: overlaps of rows"
            axes.errorbar(shares, mean, yerr=half, fmt="o-", label=label, **style)
            for way in mine:
                if way.deviation in LOOKS:
                    mean_of, half_of = of(way)
                    axes.errorbar(
                        [way.share + APART[way.deviation] + 0.02 * place],
                        [mean_of],
                        yerr=[half_of],
                        fmt=LOOKS[way.deviation],
                        mfc="white",
                        label=_control(way),
                        **style,
                    )
    for axes in (loss, test):
        axes.axhline(0, color=COLOURS["grey"], lw=0.8, zorder=0)
        axes.set_xlabel("share of what GRAIT-prop sends beside $W^T$\n(0: BP, 1: GRAIT-prop)")
        axes.set_xticks([-1, 0, 1, 3], ["$-$1", "0", "1", "3"])
    loss.set_ylabel("training loss\nover BP's (%)")
    test.set_ylabel("test accuracy\nless BP's (points)")
    figure.legend(*loss.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    headline(figure, _message(found))
    return figure


def _control(way: Way) -> str | None:
    """What a control is called in the legend, once."""
    named = way.share == CONTROL_SHARES[0]
    return f"{DATASETS[way.dataset]}: {LABELS[way.deviation]}" if named else None


def _loss(way: Way) -> tuple[float, float]:
    return _shown(way.loss)


def _test(way: Way) -> tuple[float, float]:
    return _shown(way.difference("test_accuracy_chosen"))


def _shown(difference: Difference) -> tuple[float, float]:
    """Mean, and half of an interval that a picture shows."""
    mean, half = over_repetitions(np.array(difference.each))
    return float(mean), float(np.nan_to_num(half))


def _message(found: list[Way]) -> str:
    """The ranges over data sets, in words."""

    def span(deviations: tuple[str, ...], share: float) -> str:
        losses = [w.loss.mean for w in found if w.deviation in deviations and w.share == share]
        if not losses:
            return "not run"
        return (
            " to ".join(dict.fromkeys(f"{one:+.1f}" for one in (min(losses), max(losses)))) + " %"
        )

    seeds = max((way.loss.pairs for way in found), default=0)
    return (
        "Training loss against back-propagation's: what GRAIT-prop sends beside "
        f"{span((OVERLAPS,), 1.0)},\nthe same with its sign reversed {span((OVERLAPS,), -1.0)}, "
        f"random deviations as large {span((RANDOM, KEPT), 1.0)},\nthree times as large "
        f"{span((RANDOM, KEPT), 3.0)} (means over {seeds} seeds, 95 % t intervals)"
    )


FIGURES: Drawings = {"overlaps": (("learning_loss", "test_accuracy_chosen"), by_share)}
