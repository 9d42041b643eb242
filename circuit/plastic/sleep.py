"""A phase of spontaneous activity after every image, in which a plastic circuit's layers inhibit.

Owns the settings of such a phase, what fires in it, and its equations as text for Brian2. Does not
own the circuit that sleeps (`circuit.plastic.circuit`) nor its other equations
(`circuit.plastic.equations`).

After its image a circuit sleeps: for a few patterns, one after another, axons of the layers 0 ..
L-1 carry spontaneous activity x, which is +1 or -1 independently, in place of rates. All that the
task moves stands still meanwhile: y, own drives, memories, tags, targets, biases and decay. In a
compartment of its own every unit of the layers 1 .. L answers the weighted sum u = W x, without
bias, and is inhibited by the units of its layer:

    tau dr/dt = u - M r - r                      asleep
    tau dr/dt = -r                               awake: inhibition is silent while there is a task
    dM/dt = lateral rate (r r^T - 1)             asleep, in the last steps of every pattern
    dW/dt = -8 lambda (u - r) x^T                the same

so that M goes to (W W^T)^1/2 - 1 and W to the orthogonal matrix nearest to it
(`circuit.lateral_inhibition.teaching` has the same in steps, as whitening). Axon and answer being
two variables, a unit drives the layer above and answers the layer below at one time, and all layers
practise at once. A synapse of W has one rule, awake and asleep: what its unit is taught times what
its axon carries.

Feedback may learn in the same phase to invert: what B makes of u is compared with x,

    dB/dt = inverse rate (x - B u) u^T           the same steps

which has B = W^T (W W^T)^-1 for its rest, W^-1 where W is square: the pathway of GAIT-prop, that is
back-propagation only while W is orthogonal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from circuit.checks.given import is_sequence, real_array, require_count, shown
from circuit.errors import CircuitError, ShapeMismatch
from circuit.records.brief import Brief

# what a group carries out in every step, before all sums: whether it is awake, and what fires
CALENDAR = """
awake = int(timestep(t, dt) % period < shown)
practising = (1 - awake)*int((timestep(t, dt) % period - shown) % hold >= wait)
""".strip()
SPARK = (
    "sparks(((timestep(t, dt)//period)*patterns + (timestep(t, dt) % period - shown)//hold)*beat, "
    "i % units)"
)
STATES = """
awake : 1
practising : 1
shown : integer (constant, shared)
hold : integer (constant, shared)
wait : integer (constant, shared)
patterns : integer (constant, shared)
beat : second (constant, shared)
""".strip()
ANSWER = """
dr/dt = ((1 - awake)*(weighted - inhibition) - r)/tau : 1
pulled = -8*strength*practising*(weighted - r) : Hz (constant over dt)
inhibition : 1
strength : Hz (constant)
spark : 1
""".strip()
LATERAL = """
dweight/dt = learning*practising_post*(r_post*r_pre - int(i == j)) : 1 (clock-driven)
learning : Hz (constant)
inhibition_post = weight*r_pre : 1 (summed)
""".strip()


@dataclass(frozen=True, eq=False, repr=False)
class Sleep(Brief):
    """When spontaneous activity changes, and how fast synapses learn from it.

    Attributes
    ----------
    patterns : of spontaneous activity after every image
    period : steps for which one lasts
    wait : of them, so many at its beginning in which synapses stand still and r comes to rest
    lateral_rates : array (R,), of M, in 1/s, R circuits side by side; with 0 inhibition stays as it
        is at the beginning
    strengths : array (R,), lambda, in 1/s; with 0 feed-forward weights learn from the task alone
    inverse_rates : array (R,), of B, in 1/s; with 0 feedback learns from the task alone
    lateral : L arrays (R, N_l, N_l), M at the beginning; 0 by default

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.plastic import Sleep
    >>> sleep = Sleep(2, period=8, wait=6, lateral_rates=np.ones(1), strengths=np.ones(1))
    >>> sleep.patterns * sleep.period  # steps of sleep after every image
    16
    """

    patterns: int
    period: int
    wait: int
    lateral_rates: np.ndarray
    strengths: np.ndarray
    inverse_rates: np.ndarray = field(default_factory=lambda: np.zeros(1))
    lateral: tuple[np.ndarray, ...] = ()

    def __post_init__(self) -> None:
        for what, least in (("patterns", 1), ("period", 1), ("wait", 0)):
            require_count(what, getattr(self, what), least)
        if not is_sequence(self.lateral):
            raise ShapeMismatch("lateral weights are no tuple of arrays; give one for each layer")
        lateral = tuple(real_array("lateral weights", one) for one in self.lateral)
        object.__setattr__(self, "lateral", lateral)
        if self.wait >= self.period:
            raise CircuitError(
                f"synapses wait for {self.wait} of {self.period} steps of a pattern; let them "
                "learn in at least one"
            )
        for what in ("lateral_rates", "strengths", "inverse_rates"):
            values = real_array(what.replace("_", " "), getattr(self, what), seconds=-1)
            object.__setattr__(self, what, values)
            if not all(0 <= one < math.inf for one in np.ravel(values)):
                raise CircuitError(f"{what} = {shown(values)}; give finite values of 0 or more")

    @property
    def steps(self) -> int:
        """Steps of the sleep after an image."""
        return self.patterns * self.period

    def lateral_of(self, widths: Sequence[int]) -> tuple[np.ndarray, ...]:
        """M at the beginning, for layers 0 .. L of these widths."""
        count = len(self.strengths)
        return self.lateral or tuple(np.zeros((count, n, n)) for n in widths[1:])

    def require_fits(self, widths: Sequence[int], count: int) -> None:
        """Raise `CircuitError` unless `count` circuits with layers of these widths can sleep so."""
        for what in ("lateral_rates", "strengths", "inverse_rates"):
            if np.shape(getattr(self, what)) != (count,):
                raise ShapeMismatch(
                    f"{what} of a sleep of shape {np.shape(getattr(self, what))}; give ({count},), "
                    "one for each circuit"
                )
        shapes = [np.shape(array) for array in self.lateral_of(widths)]
        wanted = [(count, n, n) for n in widths[1:]]
        if shapes != wanted:
            raise ShapeMismatch(f"lateral weights of shapes {shapes}; give {wanted}")
        if not all(np.isfinite(array).all() for array in self.lateral):
            raise CircuitError("lateral weights hold what is not finite; give finite weights")
        for layer in range(1, len(widths)):
            if widths[layer] > widths[layer - 1] and np.any(np.asarray(self.lateral_rates) > 0):
                raise CircuitError(
                    f"layer {layer} has {widths[layer]} units that read {widths[layer - 1]}; "
                    "inhibition cannot make them all uncorrelated: use narrower layers"
                )


def spontaneous_patterns(
    sleep: Sleep, widths: Sequence[int], images: int, generator: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """What fires after so many images, the same in all circuits side by side: random signs.

    Parameters
    ----------
    widths : N_0 .. N_L

    Returns
    -------
    L arrays (images * patterns, N_l) of the layers 0 .. L-1

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.plastic import Sleep, spontaneous_patterns
    >>> sleep = Sleep(2, period=8, wait=6, lateral_rates=np.ones(1), strengths=np.ones(1))
    >>> drawn = spontaneous_patterns(sleep, (4, 3, 2), 5, np.random.default_rng(0))
    >>> [patterns.shape for patterns in drawn], np.unique(drawn[0])
    ([(10, 4), (10, 3)], array([-1.,  1.]))
    """
    count = images * sleep.patterns
    return tuple(2.0 * generator.integers(0, 2, (count, n)) - 1 for n in widths[:-1])


def require_patterns(
    sleep: Sleep, widths: Sequence[int], images: int, patterns: Sequence[np.ndarray]
) -> None:
    """Raise `CircuitError` unless these can fire after so many images."""
    shapes = [np.shape(array) for array in patterns]
    wanted = [(images * sleep.patterns, n) for n in widths[:-1]]
    if shapes != wanted:
        raise ShapeMismatch(f"spontaneous patterns of shapes {shapes}; give {wanted}")
    if not all(np.isfinite(array).all() for array in patterns):
        raise CircuitError("a spontaneous pattern is not finite; give finite ones")
