"""What is said and kept of a training run: progress, the table of accuracies, and the files.

Owns the words on the terminal and the names of the files.

A test accuracy is always called by how its epoch was found: *chosen* on the validation images, at
the *end*, or at the *peak*, which is seen on the test images themselves and therefore flatters.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from analysis import pictures, records
from analysis.progress import ProgressBar
from analysis.statistics import FEWEST, told
from circuit.lateral_inhibition.companions import Decorrelation, Inhibition
from circuit.learned_inverse.companions import LearnedInverse
from circuit.learning.lesson import Lesson
from circuit.numerics.arrays import to_numpy
from circuit.peers.table import TABLE
from circuit.storage.networks import save_network
from training.epochs import State
from training.measures import accuracies, labelled, write_table
from training.plan import Material, Plan, batches_of_an_epoch, single
from training.settings import PROGRAM

if TYPE_CHECKING:
    from analysis.canvas import Drawings

INTERVAL = 5.0  # seconds between two lines, where there is no terminal
PICTURES = ("learning_curves", "layers")  # known without matplotlib
LOOK = 0.5  # seconds between two looks at the loss, which on a GPU make it wait


class TrainingProgress(ProgressBar):
    """How many batches a run has learnt from."""

    def __init__(self, plan: Plan, material: Material, settings: dict[str, Any], *, quiet: bool):
        super().__init__("", quiet)
        self.plan = plan
        self.epochs = int(settings["epochs"])
        self.batches = batches_of_an_epoch(plan, material)
        self.first = 0  # batches that were done when this process began
        self.description = _description(plan, material, settings)

    def resumed(self, state: State, changes: list[str]) -> None:
        """Say where the run goes on, and what may make it round differently."""
        self.say(f"resumed after {state.epoch} epochs and {state.batch} batches")
        if changes:
            self.say("not to the last bit as if it had not been interrupted: " + "; ".join(changes))

    def announce(self, state: State) -> None:
        """Say what is to be done, which nothing can refuse any more, and start the clock."""
        self.say(self.description)
        self.first = self._done(state)
        self.show_bar(total=self.epochs * self.batches, initial=self.first, unit="batch")

    def update(self, state: State) -> None:
        """Show `state`, if it is time."""
        if self.quiet:
            return
        clock, done = time.monotonic(), self._done(state)
        if self.bar is not None:
            self.bar.update(done - self.bar.n)
            if state.batch and clock - self.looked > LOOK:
                self.looked = clock
                seen = min(state.batch * self.plan.batch, state.orders.shape[1])
                loss, right = (float(np.mean(to_numpy(total))) / seen for total in state.sums[:2])
                self.bar.set_description(f"epoch {state.epoch + 1} of {self.epochs}")
                self.bar.set_postfix(loss=f"{loss:.4f}", accuracy=f"{right:.3f}")
            return
        last = state.epoch == self.epochs
        if state.batch == 0 and (last or clock - self.looked > INTERVAL):
            self.looked = clock
            whole = self.epochs * self.batches - self.first
            left = "" if last else f", {self.left((done - self.first) / whole)}"
            self.say(_marks(state) + left)

    def _done(self, state: State) -> int:
        return state.epoch * self.batches + state.batch


def history(plan: Plan, state: State, settings: dict[str, Any]) -> xr.Dataset:
    """The labelled history of a run, with what was chosen."""
    data = labelled(state.history, plan.seeds)
    words = "by validation accuracy" if plan.validation > 0 else "by test accuracy"
    data["chosen_epoch"] = ("seed", state.chosen_epochs, {"long_name": f"epoch chosen {words}"})
    data.attrs = {
        "rule": plan.lesson.rule,
        "dataset": settings["dataset"],
        "chosen_by": "validation" if plan.validation > 0 else "test",
        "config": json.dumps({name: _plain(value) for name, value in settings.items()}),
    }
    data.attrs |= {f"version_{name}": number for name, number in records.versions().items()}
    return data


def write_results(
    folder: Path,
    plan: Plan,
    state: State,
    settings: dict[str, Any],
    failure: str | None,
    *,
    figures: bool,
    pdf: bool,
    seconds: float,
) -> None:
    """Write history, weights and summary; then print the outcome and draw the figures.

    After a failure the weights at the end are left out, for there was no end.
    """
    data = history(plan, state, settings)
    gone = pictures.put_away(folder, PICTURES)
    records.write_dataset(folder / "history.nc", data)
    write_table(folder / "history.csv", data)
    networks = {"chosen": state.chosen}
    if failure is None:
        networks["end"] = state.learner.network
    for i, seed in enumerate(plan.seeds):
        for which, network in networks.items():
            save_network(folder / f"weights_seed{seed}_{which}.npz", single(network, plan, i))
    found = accuracies(data)
    summary = {
        "status": "completed" if failure is None else f"failed: {failure}",
        "epochs": state.epoch,
        "chosen_by": data.attrs["chosen_by"],
        "seeds": list(plan.seeds),
        "chosen_epoch": data["chosen_epoch"].values.tolist(),
        "test_accuracy": {which: values.tolist() for which, values in found.items()},
        "config": settings,
        "versions": records.versions(),
        "seconds_of_this_process": seconds,
    }
    records.write_json(folder / "summary.json", summary)
    print(outcome(data, failure))
    if figures:
        pictures.draw(PROGRAM, _drawings, data, folder, pdf=pdf, gone=gone)
    else:
        pictures.tell(PROGRAM, gone)


def _drawings() -> Drawings:
    from training.figures import TRAINING

    return TRAINING


def outcome(data: xr.Dataset, failure: str | None) -> str:
    """The table of test accuracies, and one plain sentence."""
    found, by = accuracies(data), data.attrs["chosen_by"]
    peaks = np.argmax(data["test_accuracy"].values, axis=1)
    lines = [
        "Test accuracy",
        f"{'seed':>6}{'chosen':>9}{'(epoch)':>9}{'end':>9}{'(epoch)':>9}{'peak':>9}{'(epoch)':>9}",
    ]
    end = int(data["epoch"].values[-1])
    for i, seed in enumerate(data["seed"].values):
        epochs = {"chosen": int(data["chosen_epoch"].values[i]), "end": end, "peak": int(peaks[i])}
        lines.append(
            f"{int(seed):>6}"
            + "".join(f"{found[which][i]:>9.4f}{epoch:>9}" for which, epoch in epochs.items())
        )
    if len(peaks) >= FEWEST:
        lines.append(
            "mean, 95 % interval (Student's t over seeds): "
            + ", ".join(f"{which} {told(values, '.4f', '.4f')}" for which, values in found.items())
        )
    name = TABLE[data.attrs["rule"]].called
    how = "the validation images" if by == "validation" else "the test images themselves"
    verdict = (
        f"{name[0].upper()}{name[1:]} learnt {data.attrs['dataset']} to a test accuracy of "
        f"{100 * float(np.mean(found['chosen'])):.1f} % at the epoch chosen on {how}, "
        f"{100 * float(np.mean(found['end'])):.1f} % at the end, "
        f"{100 * float(np.mean(found['peak'])):.1f} % at the peak."
    )
    settled = data["settled"].values[:, -1]
    settled = settled[np.isfinite(settled)]  # none of a rule in closed form
    if settled.size and settled.mean() < 1:
        verdict += f" In the last epoch {100 * float(settled.mean()):.1f} % of the images settled."
    if failure is not None:
        verdict = (
            f"Training failed, {failure}. The last checkpoint and the history up to epoch {end} "
            "are kept."
        )
    return "\n".join([*lines, verdict])


def _description(plan: Plan, material: Material, settings: dict[str, Any]) -> str:
    lesson, widths = plan.lesson, "-".join(map(str, plan.widths))
    seeds = ", ".join(map(str, plan.seeds))
    chosen_by = f"{material.validation.shape[1]} to choose by, " if plan.validation else ""
    *_, last = kinds = plan.activations
    units = kinds[0] if last == kinds[0] else f"{kinds[0]} with {last} outputs"
    back, inverse = lesson.inverse, ""
    if isinstance(back, LearnedInverse):
        inverse = (
            f"inverse learned at rate {back.rate:g} from noise {back.noise:g} ({back.aim}), "
            f"{'with' if back.corrected else 'without'} correction; "
        )
    if lesson.rate_noise > 0:
        inverse += f"shifts read with noise {lesson.rate_noise:g}; "
    name, count = TABLE[lesson.rule].called, material.learning.shape[1]
    return (
        f"{name} on {settings['dataset']}: {count} images to learn from, "
        f"{chosen_by}{len(material.test_inputs)} to test on; layers {widths}, "
        f"{units}, {plan.init} weights; {inverse}learning rate {lesson.adam.learning_rate:g}, "
        f"lambda {settings['orthogonality']:g} ({_pull(settings, lesson)}), batch {plan.batch}, "
        f"{settings['epochs']} epochs, seed {seeds}, {plan.precision}, preset {settings['preset']}"
    )


def _pull(settings: dict[str, Any], lesson: Lesson) -> str:
    """What pulls the weights towards orthogonality, in words."""
    pull = lesson.pull
    if not isinstance(pull, Inhibition | Decorrelation):
        return str(settings["orthogonality_of"])
    words = f"by {settings['orthogonality_by'].replace('_', ' ')} at rate {pull.rate:g}"
    return f"{words}, {pull.during}" if isinstance(pull, Inhibition) else words


def _marks(state: State) -> str:
    """Loss and accuracies of the last epoch, means over seeds."""
    last = {name: float(np.mean(values[-1])) for name, values in state.history.items()}
    words = f"epoch {state.epoch}: loss {last['learning_loss']:.4f}, accuracy "
    if not np.isnan(last["validation_accuracy"]):
        words += f"{last['validation_accuracy']:.4f} on validation, "
    words += f"{last['test_accuracy']:.4f} on test images"
    if not np.isnan(last["settled"]) and last["settled"] < 1:
        words += f", {last['settled']:.4f} of the circuits settled"
    return words


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
