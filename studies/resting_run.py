"""A training run of a study on disk, at rest between two epochs, so that it can go on from there.

Owns when it is written and what else than the checkpoint: the accuracies seen within epochs. Goes
on bit for bit, or begins anew: with another version of anything that decides rounding, or with a
file that cannot be read, a run begins anew.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from analysis.sweep import unfinished
from circuit.errors import CircuitError
from circuit.storage.files import write_atomically
from training import checkpoints
from training.epochs import State
from training.plan import Material, Plan

SECONDS = 60.0  # from one writing to the next; runs that end sooner are never written


@dataclass
class RestingRun:
    """Of the cell that is measured; outside a sweep it is nowhere, and neither kept nor found.

    Attributes
    ----------
    folder : where; None for nowhere
    seen : steps of learning -> accuracy within an epoch, filled in by who looks
    """

    folder: Path | None = field(default_factory=unfinished.place)
    seen: dict[int, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.monotonic)

    def found(self, plan: Plan, material: Material) -> State | None:
        """The state that it goes on from, with what had been seen till then; None to begin."""
        if self.folder is None or not self._checkpoint.exists():
            return None
        try:
            state, changes = checkpoints.load(
                self._checkpoint, plan, self._configured(plan), material
            )
            seen = json.loads(self._within.read_text(encoding="utf-8"))
            done = [(int(steps), float(accuracy)) for steps, accuracy in seen]
        except (CircuitError, OSError, ValueError, TypeError):
            return None
        if changes:
            return None
        self.seen.update((steps, value) for steps, value in done if steps <= state.learner.steps)
        return state

    def keep(self, plan: Plan, state: State) -> None:
        """Write the state if it is the end of an epoch, and the last writing a while ago.

        What cannot be written, as on a full disk, is left out: the run needs it only where it ends.
        """
        now = time.monotonic()
        if self.folder is None or state.batch or now - self._last < SECONDS:
            return
        self._last = now
        seen = json.dumps(list(self.seen.items()))
        with suppress(CircuitError, OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            # first what may know more than the checkpoint; what it knows too much is left out later
            write_atomically(self._within, lambda name: name.write_text(seen, encoding="utf-8"))
            checkpoints.save(self._checkpoint, state, plan, self._configured(plan))

    @property
    def _checkpoint(self) -> Path:
        assert self.folder is not None
        return self.folder / "checkpoint.npz"

    @property
    def _within(self) -> Path:
        return self._checkpoint.with_name("within.json")

    def _configured(self, plan: Plan) -> checkpoints.Configuration:
        """The name of the folder tells images and cell apart by their digests."""
        return checkpoints.configuration(plan, "of the cell", self._checkpoint.parent.name)
