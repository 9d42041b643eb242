"""A layer in a phase of spontaneous activity, all of whose synapses are dynamic variables.

Owns the equations as text for Brian2 and the settings of such a phase. An oracle for the
plasticity in steps (`circuit.lateral_inhibition.teaching`, mechanism whitening), of which this is
the continuous form:

    tau dr/dt   = W x - M r - r
    T_M dM/dt   = r r^T - 1                   lateral, anti-Hebbian
    T_W dW/dt   = - 8 lambda (W x - r) x^T    feed-forward

Presynaptic units hold one pattern x after another, each for so long that r comes to rest. Synapses
change only while it rests: in the last steps of every pattern.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuit.checks.given import is_whole, set_reals, shown
from circuit.errors import CircuitError
from circuit.records.brief import Brief

PRESYNAPTIC = "x = patterns(t, i) : 1 (constant over dt)"

UNITS = """
dr/dt = (drive - inhibition - r)/tau : 1
drive : 1
inhibition : 1
tau : second (constant, shared)
"""

FEEDFORWARD = """
dweight/dt = -pull*resting*(drive_post - r_post)*x_pre/slowness : 1 (clock-driven)
resting = int(timestep(t, dt) % period >= wait) : 1 (shared)
drive_post = weight*x_pre : 1 (summed)
pull : 1 (constant, shared)
slowness : second (constant, shared)
period : 1 (constant, shared)
wait : 1 (constant, shared)
"""

LATERAL = """
dweight/dt = resting*(r_post*r_pre - int(i == j))/slowness : 1 (clock-driven)
resting = int(timestep(t, dt) % period >= wait) : 1 (shared)
inhibition_post = weight*r_pre : 1 (summed)
slowness : second (constant, shared)
period : 1 (constant, shared)
wait : 1 (constant, shared)
"""


@dataclass(frozen=True)
class Spontaneous:
    """Times in seconds, and the strength of what inhibition teaches.

    Attributes
    ----------
    time_constant : tau of the units
    step : of Euler's method, at most tau
    period : steps for which a pattern lasts
    wait : of them, so many at the beginning in which synapses stand still
    lateral_time, feedforward_time : T_M and T_W
    strength : lambda; with 0 feed-forward synapses stand still

    Raises
    ------
    CircuitError
    """

    time_constant: float = 0.01
    step: float = 0.001
    period: int = 100
    wait: int = 90
    lateral_time: float = 0.1
    feedforward_time: float = 1.0
    strength: float = 0.0

    def __post_init__(self) -> None:
        names = ("time_constant", "step", "lateral_time", "feedforward_time")
        set_reals(self, names, seconds=1)
        set_reals(self, ("strength",))
        times = (self.time_constant, self.step, self.lateral_time, self.feedforward_time)
        if not all(0 < time < float("inf") for time in times):
            raise CircuitError(f"times {times} of a spontaneous phase must be positive and finite")
        if self.step > self.time_constant:
            raise CircuitError(
                f"step {self.step:g} s is longer than the time constant {self.time_constant:g} s, "
                "over which Euler's method overshoots; use a tenth of it"
            )
        if not (is_whole(self.period) and is_whole(self.wait)):
            raise CircuitError(
                f"period {shown(self.period)} and wait {shown(self.wait)} are counted in steps; "
                "give whole numbers"
            )
        if not 0 <= self.wait < self.period:
            raise CircuitError(
                f"synapses wait for {self.wait} of {self.period} steps of a pattern; let them "
                "learn in at least one"
            )
        if not 0 <= self.strength < float("inf"):
            raise CircuitError(f"strength {self.strength:g} is negative or not finite")


@dataclass(frozen=True, eq=False, repr=False)
class SpontaneousRecord(Brief):
    """The state at the end of a phase.

    Attributes
    ----------
    weights : array (n_post, n_pre)
    lateral : array (n_post, n_post)
    rates : array (n_post,)
    """

    weights: np.ndarray
    lateral: np.ndarray
    rates: np.ndarray
