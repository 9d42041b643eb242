"""What a step of learning is, in plain values that are checked where they are given.

Owns the settings of a lesson and their ranges. Does not own the step (`learning`), nor what becomes
of the settings in it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from circuit.errors import CircuitError
from circuit.feedback import PATHWAYS, output_only
from circuit.given import is_whole, require_choice, require_flag, set_reals, shown
from circuit.lateral_inhibition import companions
from circuit.learned_inverse.companions import EXACT, LEARNED, PSEUDO, practice_of
from circuit.learned_inverse.model import Practice
from circuit.learning import adam, regulariser
from circuit.losses import LOSSES
from circuit.shifts import READOUTS

CIRCUIT = "circuit"
INCREMENTS = ("every", "output")
RULES = ("gait", "grait", "itp", "tp", "bp", CIRCUIT)


@dataclass(frozen=True)
class Lesson:
    """What a step of learning is: plain values, the same in every step.

    Attributes
    ----------
    rule : bp, tp, itp, gait, grait, or circuit, which settles for every batch
    feedback_strength : gamma (itp, gait, grait, circuit)
    increments : "every" layer has the feedback strength, or the "output" alone and none below
        (paper section 9), see `strengths`
    pathway, readout : of the circuit; itp, gait or grait, shift or mismatch
    loss : a name in `losses.LOSSES`
    learning_rate, beta1, beta2, epsilon, bias_correction : see `adam.Adam`
    orthogonality : lambda of Eq. 23
    orthogonality_of : "rows", as printed, or "columns", as the public code effectively does
    orthogonality_every : the gradient of Eq. 23 is taken in every k-th step, with weight k
    inverse : "exact"; "learned", or "pseudo-inverse" of weights of any shape (all but bp; see
        `learned_inverse`)
    inverse_rate, inverse_noise, inverse_aim, inverse_steps, inverse_before, inverse_order,
    inverse_block : of its `Practice`
    correction : whether a learned inverse sends only deviations down (difference correction)
    rate_noise : standard deviation with which each shift is read, in units of the rates
    orthogonality_by : "regulariser", Eq. 23; lateral inhibition that teaches instead, one of
        `teaching.MECHANISMS`, with the same lambda; or lateral inhibition that acts, one of
        `acting.PLACES`, without lambda
    lateral_rate : of plasticity of the lateral synapses, per step
    lateral_during : "spontaneous" activity, or the "task", is when inhibition teaches
    spontaneous_samples : patterns of spontaneous activity in a step

    Raises
    ------
    CircuitError
        For a name that is unknown or a value out of its range.
    """

    rule: str = "gait"
    feedback_strength: float = 1e-3
    pathway: str = "gait"
    readout: str = "shift"
    loss: str = "quadratic"
    learning_rate: float = 1e-4
    orthogonality: float = 0.0
    orthogonality_of: str = "rows"
    orthogonality_every: int = 1
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    bias_correction: bool = True
    increments: str = "every"
    inverse: str = EXACT
    inverse_rate: float = Practice.rate
    inverse_noise: float = Practice.noise
    inverse_aim: str = Practice.aim
    inverse_steps: int = Practice.steps
    inverse_before: int = Practice.before
    inverse_order: str = Practice.order
    inverse_block: int = Practice.block
    correction: bool = True
    rate_noise: float = 0.0
    orthogonality_by: str = companions.REGULARISER
    lateral_rate: float = 0.3
    lateral_during: str = "spontaneous"
    spontaneous_samples: int = 64

    def __post_init__(self) -> None:
        set_reals(self, (one.name for one in fields(self) if isinstance(one.default, float)))
        require_flag("correction", self.correction)
        for what, name, known in (
            ("rule", self.rule, RULES),
            ("pathway", self.pathway, tuple(PATHWAYS)),
            ("read-out", self.readout, READOUTS),
            ("loss", self.loss, tuple(LOSSES)),
            ("increments at", self.increments, INCREMENTS),
            ("orthogonality of", self.orthogonality_of, regulariser.SIDES),
            ("inverse", self.inverse, (EXACT, LEARNED, PSEUDO)),
        ):
            require_choice(what, name, known)
        whole = self.feedback_strength == 1 and self.rule != CIRCUIT  # no increment at all
        if not (0 < self.feedback_strength < 1 or whole):
            raise CircuitError(
                f"feedback strength gamma = {self.feedback_strength:g} is outside (0, 1); "
                "use for example 0.001"
            )
        if not 0 <= self.orthogonality < float("inf"):
            raise CircuitError(
                f"orthogonality lambda = {self.orthogonality:g} is negative or not finite; "
                "use for example 0.1, or 0 for none"
            )
        if not (is_whole(self.orthogonality_every) and self.orthogonality_every >= 1):
            raise CircuitError(
                f"orthogonality every {shown(self.orthogonality_every)} steps: give a whole "
                "number, 1 or more"
            )
        if not 0 <= self.rate_noise < float("inf"):
            raise CircuitError(
                f"rate noise {self.rate_noise:g} is negative or not finite; use for example 0.001"
            )
        if self.rule == "bp" and (self.inverse != EXACT or self.rate_noise > 0):
            raise CircuitError(
                "back-propagation (bp) goes through no inverse and reads no shifts of rates; leave "
                "out the inverse and the rate noise, or use another rule"
            )
        if self.inverse != LEARNED and not self.correction:
            raise CircuitError(
                f"inverse {self.inverse!r} has nothing to correct; leave out the "
                "correction, or use a learned inverse"
            )
        practice_of(self)
        companions.require_possible(self)
        self.adam()

    def strengths(self, depth: int) -> float | tuple[float, ...]:
        """Gamma of all layers, or gamma_1 .. gamma_L where the output alone has an increment.

        Then a rule multiplies by 1 below. So does the circuit's mismatch, gamma_l / (1 - gamma_l),
        with gamma_l = 1/2; its rates would not feel their input with 1.
        """
        if self.increments == "every":
            return self.feedback_strength
        if self.rule == CIRCUIT:
            return (0.5,) * (depth - 1) + (self.feedback_strength,)
        return output_only(self.feedback_strength, depth)

    def adam(self) -> adam.Adam:
        """The settings of Adam."""
        return adam.Adam(
            self.learning_rate, self.beta1, self.beta2, self.epsilon, self.bias_correction
        )
