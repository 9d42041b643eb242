"""What a rule gives the layers to learn from, in one form for every theory.

Owns the record: the activity that shifts count from, the shifts, how a synapse reads them, and
what became of the attempt to solve the rule's own equations. Does not own how a synapse reads
(`circuit.peers.reading`), nor any rule.

A synapse reads one of three things (presynaptic rates x below):

target      f'(drive) * shift, times x: the shift is where the rate should go
response    shift, times x: the shift is a difference of two rates, and f' is in it already
contrast    the difference of two products of rates, shift * mean(x) + mean(rate) * shift below
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuit.checks.given import require_choice
from circuit.network import Activity
from circuit.numerics.arrays import Array
from circuit.records.brief import Brief, counted
from circuit.shifts import Shifts
from circuit.verification.judgement import Status

TARGET, RESPONSE, CONTRAST = READINGS = ("target", "response", "contrast")


@dataclass(frozen=True, eq=False, repr=False)
class Rest(Brief):
    """What became of an attempt to solve a rule's own equations, image by image.

    Attributes
    ----------
    status : (samples,), of each image; leading axes of the batch are flattened
    residuals : (L, samples), the relative residual of the rule's own equations in every layer:
        what is left of the equation of a layer's shift, over that shift
    passes : over all layers, each of about one matrix product a layer
    words : what else a user should know in one line, such as a critical strength; may be empty
    by_steps : whether the rule is so many steps and no more, after which every image teaches,
        settled or not

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import Status
    >>> from circuit.peers import Rest
    >>> Rest((Status.CONVERGED, Status.CYCLING), np.array([[1e-12, 0.3], [0.0, 0.1]]), passes=7.0)
    Rest(1 of 2 images, worst residual 3e-01)
    """

    status: tuple[Status, ...]
    residuals: np.ndarray
    passes: float
    words: str = ""
    by_steps: bool = False

    @property
    def converged(self) -> np.ndarray:
        """(samples,), whether an image has settled."""
        return np.array([one is Status.CONVERGED for one in self.status])

    @property
    def teaches(self) -> np.ndarray:
        """(samples,), whether the network is to learn from an image: from those that have settled,
        and by a rule of steps from those whose steps are over.
        """
        over = [one is Status.OUT_OF_BUDGET for one in self.status]
        return self.converged | (np.array(over) & self.by_steps)

    def _words(self) -> list[str]:
        settled = int(self.converged.sum())
        worst = float(self.residuals.max()) if self.residuals.size else 0.0
        return [f"{settled} of {counted(len(self.status), 'image')}", f"worst residual {worst:.0e}"]


@dataclass(frozen=True, eq=False, repr=False)
class Signal(Brief):
    """What the layers are to learn from.

    Attributes
    ----------
    activity : rates and slopes that the shifts count from: the forward pass, or the rule's own
        free state
    shifts : of the layers 1 .. L. `shifts.per_gain` is what a synapse reads; for the reading
        "contrast" the gain is what makes the products the gradient (gamma**(L-l) beta)
    reading : "target", "response" or "contrast"
    read : L + 1 arrays (..., batch, N_l), the rates y_0 .. y_L that synapses read: for "contrast"
        the mean of the two states. None: the rates of `activity`
    rest : how the rule's equations were solved; None for a rule in closed form

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import forward, initialise
    >>> from circuit.learning import Lesson, teach
    >>> network, images = initialise([3, 2, 2], 0), np.array([[0.1, 0.2, 0.3]])
    >>> signal = teach(network, Lesson("ep"), forward(network, images), np.array([[0.0, 1.0]]))
    >>> signal.reading, signal.shifts.depth
    ('contrast', 2)
    """

    activity: Activity
    shifts: Shifts
    reading: str = TARGET
    read: tuple[Array, ...] | None = None
    rest: Rest | None = None

    def __post_init__(self) -> None:
        require_choice("reading", self.reading, READINGS)

    @property
    def presynaptic(self) -> tuple[Array, ...]:
        """The rates y_0 .. y_L that synapses read."""
        return self.activity.rates if self.read is None else self.read

    def _words(self) -> list[str]:
        return [
            self.reading,
            *self.shifts._words(),
            *([] if self.rest is None else [repr(self.rest)]),
        ]
