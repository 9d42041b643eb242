"""A circuit whose weights are variables of its dynamics: its equations, and the values in them.

Owns what a plastic circuit is and what is recorded of one. Does not own its equations as Brian2
text (`circuit.plastic.equations`) nor their simulation (`circuit.plastic.run`).

Images follow one another, and nothing but the equations changes a weight. With h_l = W_l y_{l-1} +
b_l, u_l = f(h_l) and A_l = f'(h_l), rates obey (GAIT pathway, corrected: only deviations go down)

    tau dy_l/dt = u_l - y_l + gamma (m_l + B_l v_{l+1})        l < L
    tau dy_L/dt = u_L - y_L + gamma nudged (t - u_L)

    m_l = y_l - (own drive)          v_l = f^-1(u_l + A_l^2 m_l) - h_l

so that at rest (1 - gamma) m_l = gamma B_l v_{l+1}: with B_l = W_{l+1}^T back-propagation for any
weights (docs/imperfect_pathway.md). In the GRAIT pathway v_l is that of N_l^2 m_l, N_l,i^2 = sum_j
W_l,ij^2, which follows the weights: back-propagation where B_l is the inverse of W_{l+1} with
orthogonal rows. A unit knows its own drive in one of two ways:

    instant    own drive = u_l, as the corrected circuit of `circuit.dynamics`. While an image
               gives way to the next, y lags behind u, and this lag, -tau dy/dt, is taken for a
               mismatch.
    membrane   tau dn_l/dt = u_l - n_l, own drive = n_l: u as the unit's own membrane passes it on.
               Then tau dm/dt = -(1 - gamma) m + gamma B v: whatever comes from below cancels.

At rest they are one. What a synapse learns from is the unit's *teaching signal*, two read-outs:

    mismatch   q_l = rate A_l m_l / g_l                always
    shift      q_l = rate A_l (y_l - z_l) / g_l        while the output is nudged, else 0

with z_l the unit's memory of the free phase, dz/dt = (y - z) / memory while the output is not
nudged and held while it is, and g_l the known gain of its layer. Plasticity is local and the same
for both directions (Kolen and Pollack 1994), so that B goes to W^T as exp(-rate decay t):

    dW_l/dt = q_l y_{l-1}^T - rate decay W_l           db_l/dt = q_l
    dB_l/dt = y_l q_{l+1}^T - rate decay B_l

Where storage is *captured*, the first terms build up a tag beside each weight, which enters the
weight in the next free phase with the time constant `capture`: weights stand still while z is
compared with y. Else (*direct*) what the nudge has taught moves y too, and is taken for its shift.

A circuit may sleep after every image: then lateral inhibition teaches weights to be orthogonal
(`circuit.plastic.sleep`), and all of the above stands still.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from circuit.checks.given import (
    is_sequence,
    real_array,
    require_choice,
    require_count,
    require_kind,
    set_reals,
    shown,
)
from circuit.errors import CircuitError, ShapeMismatch
from circuit.feedback import mismatch_ratios
from circuit.network import Network
from circuit.plastic.sleep import Sleep
from circuit.records.brief import Brief
from circuit.settings.circuits import READOUTS, STRENGTHS
from circuit.units.table import UNIT_TEXTS

PATHWAYS = ("gait", "grait")
OWN_DRIVES = ("membrane", "instant")
STORAGES = ("captured", "direct")
MOST_DELAY = 100  # steps: each is a statement, and Brian2 reads so many in each other
# powers of a second in the fields of `Plastic`, and in those that hold one array for each layer
UNITS = {"rates": -1, "delays": 0, "noise": 0, "feedback_plasticity": 0, "layer_plasticity": 0}
UNITS_BY_LAYER = {"feedback": 0, "time_constants": 1, "own_time_constants": 1}


@dataclass(frozen=True, eq=False, repr=False)
class Timing(Brief):
    """When what happens, for every image alike.

    Attributes
    ----------
    step : seconds of an Euler step
    free_steps : steps in which an image is shown but the output is not nudged; 0 for none
    nudged_steps : steps in which it is
    teacher_stages
        The target reaches the output through so many first-order lags of time constant `lag`. The
        answer to a new image passes through as many as the circuit has layers; a target that is
        there before the answer nudges the old answer towards the new target.
    lag : seconds
    memory : time constant of z in seconds
    capture : time constant with which tags enter weights, in seconds

    Examples
    --------
    >>> from circuit.plastic import Timing
    >>> Timing(step=0.001, free_steps=20, nudged_steps=50).nudged_steps
    50
    """

    step: float
    free_steps: int
    nudged_steps: int
    teacher_stages: int = 0
    lag: float = 0.010
    memory: float = 0.005
    capture: float = 0.005

    def __post_init__(self) -> None:
        set_reals(self, ("step", "lag", "memory", "capture"), seconds=1)
        for what, least in (("free_steps", 0), ("nudged_steps", 1), ("teacher_stages", 0)):
            require_count(what, getattr(self, what), least)
        if not 0 < self.step < math.inf:
            raise CircuitError(f"step = {self.step:g} s is not a duration; give more than 0")
        for what in ("lag", "memory", "capture"):
            if not self.step <= getattr(self, what) < math.inf:
                raise CircuitError(
                    f"{what} = {getattr(self, what):g} s is shorter than a step of {self.step:g} "
                    "s, over which Euler's method overshoots; give at least a step"
                )

    @property
    def steps(self) -> int:
        """Steps for which an image is shown."""
        return self.free_steps + self.nudged_steps


@dataclass(frozen=True, eq=False, repr=False)
class Plastic(Brief):
    """Circuits that learn, side by side: R of them, of the same widths, see the same images.

    Attributes
    ----------
    network : a stack of R networks of NumPy arrays in float64, whose layers read all units below
    feedback : L-1 arrays (R, N_l, N_{l+1}), B_1 .. B_{L-1}
    rates : array (R,), of learning, in 1/s
    timing : of the images
    strength : gamma
    time_constants : L arrays (R, N_l) in seconds
    own_time_constants : L arrays (R, N_l) of n, in seconds; those of the membranes by default
    feedback_plasticity : array (R,), dB/dt is taken so many times: 1, or 0 for fixed feedback
    layer_plasticity
        (R, L), q_l and the decay of W_l are taken so many times: 1 by default, or 0 for a layer
        whose weights and biases stay as they are, a control. B_l, which learns from q_{l+1} as
        W_{l+1} does, goes with layer l+1. Only 1 in a circuit that sleeps.
    readout : "shift" or "mismatch"
    own_drive : "membrane" or "instant"
    storage : "captured" or "direct"; captured needs a free phase
    decay : of weights, in units of the rate
    delays
        (R,) whole steps that a rate or a message takes from the layers 1 .. L to the next. What is
        late is late for plasticity too.
    noise : array (R,), standard deviation of an isolated unit dy/dt = -y/tau + noise sqrt(2/tau) xi
    sleep : after every image, or None; not with delays or noise
    pathway : "gait" or "grait"

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import Network
    >>> from circuit.plastic import Plastic, Timing
    >>> W = np.array([[[0.6, 0.8]]]), np.array([[[1.0]]])
    >>> network = Network(W, (np.zeros((1, 1)),) * 2, ("leaky_relu",) * 2, n_inputs=2, n_outputs=1)
    >>> timing = Timing(step=0.002, free_steps=0, nudged_steps=50)  # of every image
    >>> feedback, rates, taus = (np.ones((1, 1, 1)),), np.array([2.0]), (np.full((1, 1), 0.01),) * 2
    >>> plastic = Plastic(network, feedback, rates, timing, 0.1, taus)
    >>> plastic.network.depth, plastic.readout
    (2, 'mismatch')
    """

    network: Network
    feedback: tuple[np.ndarray, ...]
    rates: np.ndarray
    timing: Timing
    strength: float
    time_constants: tuple[np.ndarray, ...]
    readout: str = "mismatch"
    own_drive: str = "membrane"
    storage: str = "direct"
    decay: float = 0.0
    delays: np.ndarray = field(default_factory=lambda: np.zeros(1, dtype=int))
    noise: np.ndarray = field(default_factory=lambda: np.zeros(1))
    own_time_constants: tuple[np.ndarray, ...] = ()
    feedback_plasticity: np.ndarray = field(default_factory=lambda: np.ones(1))
    layer_plasticity: np.ndarray = field(default_factory=lambda: np.ones(0))
    sleep: Sleep | None = None
    pathway: str = "gait"

    def __post_init__(self) -> None:
        require_kind("network", self.network, Network)
        require_kind("timing", self.timing, Timing)
        if self.sleep is not None:
            require_kind("sleep", self.sleep, Sleep)
        self._take_numbers()
        self._fill_in()
        self._require_names()
        self._require_shapes()
        self._require_times()
        self._require_values()
        self._require_sleep()

    @property
    def _stack(self) -> tuple[int, tuple[int, ...]]:
        """How many networks there are, and the widths of their layers, the input first."""
        return len(self.network.weights[0]), self.network.widths

    def _fill_in(self) -> None:
        """What is as another field, or one, where it is not given."""
        count, widths = self._stack
        if not self.layer_plasticity.size:
            object.__setattr__(self, "layer_plasticity", np.ones((count, len(widths) - 1)))
        if not self.own_time_constants:
            object.__setattr__(self, "own_time_constants", self.time_constants)

    def _require_names(self) -> None:
        for what, name, known in (
            ("read-out", self.readout, READOUTS),
            ("own drive", self.own_drive, OWN_DRIVES),
            ("storage", self.storage, STORAGES),
            ("pathway", self.pathway, PATHWAYS),
            ("activation", self.network.activations[0].name, tuple(UNIT_TEXTS)),
        ):
            require_choice(what, name, known)
        if len({unit.name for unit in self.network.activations}) > 1:
            raise CircuitError("layers of different activations; give all layers the same one")

    def _require_shapes(self) -> None:
        if self.network.weights[0].ndim != 3:
            raise ShapeMismatch(
                f"W of layer 1 has shape {self.network.weights[0].shape}; give a stack of networks "
                "(networks, units, units that are read)"
            )
        count, widths = self._stack
        units, one = [(count, width) for width in widths[1:]], [(count,)]
        each_layer = [(count, len(widths) - 1)]
        for what, arrays, shapes in (
            ("W", self.network.weights, [(count, up, down) for down, up in pairwise(widths)]),
            ("feedback", self.feedback, [(count, down, up) for down, up in pairwise(widths[1:])]),
            ("time constants", self.time_constants, units),
            ("own time constants", self.own_time_constants, units),
            ("feedback plasticity", [self.feedback_plasticity], one),
            ("layer plasticity", [self.layer_plasticity], each_layer),
            ("rates", [self.rates], one),
            ("delays", [self.delays], one),
            ("noise", [self.noise], one),
        ):
            found = [np.shape(array) for array in arrays]
            if found != shapes:
                raise ShapeMismatch(f"{what} of shapes {found}; give {shapes}")

    def _require_times(self) -> None:
        """Steps that Euler's method bears, and a free phase where one is needed."""
        if fault := STRENGTHS.fault(self.strength):
            raise CircuitError(
                f"feedback strength gamma = {self.strength:g} {fault}; use for example 0.2"
            )
        constants = (*self.time_constants, *self.own_time_constants)
        shortest = min(float(tau.min()) for tau in constants)
        if not shortest >= self.timing.step:
            raise CircuitError(
                f"step = {self.timing.step:g} s is longer than the smallest time constant, "
                f"{shortest:g} s, over which Euler's method overshoots; give shorter steps"
            )
        if self.needs_free_phase and self.timing.free_steps == 0:
            raise CircuitError(
                f"read-out {self.readout} with storage {self.storage} needs a free phase; give "
                "free_steps of 1 or more"
            )

    def _require_values(self) -> None:
        for what, values in (
            ("rates", self.rates),
            ("delays", self.delays),
            ("noise", self.noise),
            ("feedback plasticity", self.feedback_plasticity),
            ("layer plasticity", self.layer_plasticity),
            ("decay", self.decay),
        ):
            if not (np.isfinite(values).all() and (np.asarray(values) >= 0).all()):
                raise CircuitError(f"{what} = {shown(values)}; give finite values of 0 or more")
        if not np.issubdtype(np.asarray(self.delays).dtype, np.integer):
            raise CircuitError(f"delays {self.delays} are not whole numbers of steps")
        if self.longest_delay > MOST_DELAY:
            raise CircuitError(
                f"a delay of {self.longest_delay} steps is more than Brian2 can be told of; give "
                f"{MOST_DELAY} or fewer, with longer steps if need be"
            )

    def _require_sleep(self) -> None:
        """Of a circuit that sleeps: patterns that fit, and nothing that sleep would spoil."""
        if self.sleep is None:
            return
        count, widths = self._stack
        self.sleep.require_fits(widths, count)
        if self.longest_delay or np.any(self.noise):
            raise CircuitError(
                "a circuit with delays or noise cannot sleep, for what is on its way would be "
                "lost: leave out delays and noise, or the sleep"
            )
        if np.any(self.layer_plasticity != 1):
            raise CircuitError(
                "sleep teaches every layer, so that none stays as it is: leave out "
                "layer_plasticity, or the sleep"
            )

    def _take_numbers(self) -> None:
        """Make all fields that hold numbers plain ones, in seconds and 1/s."""
        set_reals(self, ("strength", "decay"))
        for name, seconds in UNITS.items():
            object.__setattr__(self, name, real_array(_words(name), getattr(self, name), seconds))
        for name, seconds in UNITS_BY_LAYER.items():
            arrays = getattr(self, name)
            if not is_sequence(arrays):
                raise ShapeMismatch(f"{_words(name)} are no tuple of arrays; give one each layer")
            plain = tuple(real_array(_words(name), array, seconds) for array in arrays)
            object.__setattr__(self, name, plain)

    @property
    def period(self) -> int:
        """Steps from one image to the next: those of the image, and of the sleep after it."""
        return self.timing.steps + (0 if self.sleep is None else self.sleep.steps)

    @property
    def needs_free_phase(self) -> bool:
        """Whether without one it would not learn."""
        return self.readout == "shift" or self.storage == "captured"

    @property
    def gains(self) -> tuple[float, ...]:
        """g_1 .. g_L: the known size of a mismatch beside the error of the output."""
        ratios = mismatch_ratios((self.strength,) * self.network.depth)
        return tuple(float(np.prod(ratios[layer:])) for layer in range(self.network.depth))

    @property
    def longest_delay(self) -> int:
        """Steps of the longest delay."""
        return int(np.max(self.delays))


def _words(name: str) -> str:
    return name.replace("_", " ")


@dataclass(frozen=True, eq=False, repr=False)
class PlasticRecord(Brief):
    """Weights on the way through a stream of images.

    Attributes
    ----------
    images : how many were shown before each snapshot, the first 0 and the last all of them
    weights, biases, feedback : for each snapshot the arrays of all layers, as in `Plastic`; where a
        network ceased to be finite, so are they
    rates : y_1 .. y_L at the end, arrays (R, N_l)
    steps : Euler steps
    seconds : wall-clock time of the run, without the building
    lateral : M for each snapshot, arrays (R, N_l, N_l); none of a circuit that never sleeps

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import Network
    >>> from circuit.plastic import Plastic, Timing, run_plastic
    >>> W = np.array([[[0.6, 0.8]]]), np.array([[[1.0]]])
    >>> network = Network(W, (np.zeros((1, 1)),) * 2, ("leaky_relu",) * 2, n_inputs=2, n_outputs=1)
    >>> timing = Timing(step=0.002, free_steps=0, nudged_steps=50)  # of every image
    >>> feedback, rates, taus = (np.ones((1, 1, 1)),), np.array([2.0]), (np.full((1, 1), 0.01),) * 2
    >>> plastic = Plastic(network, feedback, rates, timing, 0.1, taus)
    >>> record = run_plastic(plastic, np.ones((4, 2)), np.full((4, 1), 2.0), snapshots=2)
    >>> record.images, record.steps
    ((0, 2, 4), 200)
    """

    images: tuple[int, ...]
    weights: tuple[tuple[np.ndarray, ...], ...]
    biases: tuple[tuple[np.ndarray, ...], ...]
    feedback: tuple[tuple[np.ndarray, ...], ...]
    rates: tuple[np.ndarray, ...]
    steps: int
    seconds: float
    lateral: tuple[tuple[np.ndarray, ...], ...] = ()


def require_stream(plastic: Plastic, inputs: np.ndarray, targets: np.ndarray) -> None:
    """Raise `CircuitError` unless these are images (images, N_0) and targets (images, n_outputs)
    for such a circuit, and it begins with finite feedback.

    Feedback is looked at here, where a run begins, and not in every `Plastic`: a trainer in steps
    makes one for each step, and of networks side by side one may have diverged.
    """
    if not all(np.isfinite(array).all() for array in plastic.feedback):
        raise CircuitError("feedback holds what is not finite; give finite weights")
    inputs, targets = real_array("images", inputs), real_array("targets", targets)
    wanted = (plastic.network.n_inputs, plastic.network.n_outputs)
    if inputs.ndim != 2 or targets.ndim != 2 or (inputs.shape[1], targets.shape[1]) != wanted:
        raise CircuitError(
            f"images {inputs.shape} and targets {targets.shape}; this network needs "
            f"(images, {wanted[0]}) and (images, {wanted[1]})"
        )
    if not len(inputs) == len(targets) > 0:
        raise CircuitError(f"{len(inputs)} images and {len(targets)} targets; give as many of both")
    if not (np.isfinite(inputs).all() and np.isfinite(targets).all()):
        raise CircuitError("an image or a target is not finite; remove or replace such entries")
