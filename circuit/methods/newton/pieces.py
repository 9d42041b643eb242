"""The equilibrium of a circuit whose units are linear in pieces, piece by piece.

On given pieces of the drive and of what is sent the equations of a sample are linear, and a unit of
a GAIT pathway that rests at its kink is one more unknown, what it sends, with one more equation,
that its drive is at the kink (docs/derivation.md, section 4). So a solution is a choice of pieces
that its own linear system confirms. The search goes from choice to choice: a unit whose drive
changes its sign while its mismatch is negative is tried at its kink, and one whose message there is
none that it may send is let go to the side that sends the like.

Owns this search, through any feedback and in the free phase of a plain circuit too. Does not own
the verdict on what is found (`circuit.verification.judgement`). NumPy only, small circuits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuit.methods.newton.steps import Layers
from circuit.numerics.arrays import smallest_normal
from circuit.records.brief import Brief
from circuit.shift_dynamics import scale_ratio
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification.sliding import has_kink, messages_at_kink

CHOICES = 200  # of pieces that are tried
TOGETHER = 20  # after so many, or when one comes again, units no longer change all at once

Affine = tuple[np.ndarray, np.ndarray]  # a matrix (units, unknowns) and what is there without them


def search(trial: Trial, shifts: Shifts, sought: np.ndarray) -> tuple[Layers, np.ndarray, int]:
    """Look for the equilibrium of every sample, first from the pieces of `shifts`, then from those
    of the forward pass.

    Parameters
    ----------
    sought : (batch,), the samples that are looked for

    Returns
    -------
    Values of the shifts in the scales of `shifts`, L arrays (batch, N_l), which samples arrived
    (batch,), and how many systems were solved. The values of samples that did not arrive are those
    of `shifts`.
    """
    values, solved = tuple(value.copy() for value in shifts.values), 0
    arrived = np.zeros(trial.error.shape[0], dtype=bool)
    for sample in np.flatnonzero(sought).tolist():
        part = trial.samples([sample])
        here = shifts.with_values(tuple(value[[sample]] for value in shifts.values))
        nowhere = here.with_values(tuple(0 * value for value in here.values))
        for start in (here, nowhere):
            tried = _Search(part, start)
            found = tried.run()
            solved += tried.choices
            if found is not None:
                arrived[sample] = True
                for layer, value in zip(values, found, strict=True):
                    layer[sample] = value
                break
    return values, arrived, solved


@dataclass(eq=False, repr=False)
class _Pieces(Brief):
    """On which piece the units of a layer are, (N_l,) each.

    Attributes
    ----------
    up : whether the drive is above the kink
    sends_up : whether the drive that is sent down is
    slides : whether the unit rests at its kink
    moved : whether it has been on another piece before
    """

    up: np.ndarray
    sends_up: np.ndarray
    slides: np.ndarray
    moved: np.ndarray


class _Search:
    """One sample's choices of pieces. Lists are indexed by layer, from 1 on."""

    def __init__(self, trial: Trial, start: Shifts) -> None:
        self.trial, self.circuit, self.network = trial, trial.circuit, trial.network
        self.depth, self.start = trial.network.depth, start
        self.scales = [1.0, *(scale.value for scale in start.scales)]
        self.total = sum(self.network.widths[1:])
        self.feedback = {layer: self._feedback(layer) for layer in range(2, self.depth + 1)}
        gait = self.circuit.pathway.gradient_adjusted
        units = self.network.activations
        self.jumps = [False, False, *(gait and has_kink(unit) for unit in units[1:])]
        self.generator = np.random.default_rng(0)
        self.pieces: list[_Pieces] = []
        self.choices = 0  # that were tried

    def run(self) -> list[np.ndarray] | None:
        """The values of the layers, or None."""
        self.pieces = [self._pieces_at_start(layer) for layer in range(1, self.depth + 1)]
        seen: set[bytes] = set()
        apart = False
        for self.choices in range(1, CHOICES + 1):
            solved = self._solved()
            if solved is None:
                return None
            changes = [self._changes(layer, solved) for layer in range(2, self.depth + 1)]
            if not any(change.any() for change, _ in changes):
                ends = np.cumsum(self.network.widths[1:])
                return np.split(solved[: self.total], ends[:-1])
            apart = apart or self.choices > TOGETHER
            for layer, (change, wanted) in enumerate(changes, 2):
                if apart:
                    change &= self.generator.random(change.shape) < 0.5
                self._move(layer, change, wanted)
            choice = b"".join(
                np.packbits(np.concatenate([p.up, p.sends_up, p.slides])).tobytes()
                for p in self.pieces
            )
            apart = apart or choice in seen
            seen.add(choice)
        return None

    def _feedback(self, layer: int) -> np.ndarray:
        """The matrix (n, N_l) through which messages of `layer` come down."""
        eye = np.eye(self.network.widths[layer], dtype=self.trial.error.dtype)
        return np.asarray(self.circuit.pull(layer, eye)).T

    def _pieces_at_start(self, layer: int) -> _Pieces:
        """Those of the state that the search begins with; no unit slides there."""
        drive = self.trial.activity.drive(layer)[0]
        up, off = drive > 0, np.zeros(drive.shape, dtype=bool)
        if layer > 1:
            below = self.start.values[layer - 2]
            up = drive + self.scales[layer - 1] * self.network.push(layer, below)[0] > 0
        return _Pieces(up, up.copy(), off, off.copy())

    def _slopes(self, layer: int) -> tuple[np.ndarray, np.ndarray]:
        """A at the drive, and A' at what is sent, on the present pieces."""
        unit, pieces = self.network.activation(layer), self.pieces[layer - 1]
        flat, steep = unit.smallest_slope, unit.largest_slope
        return np.where(pieces.up, steep, flat), np.where(pieces.sends_up, steep, flat)

    def _own(self, layer: int) -> Affine:
        """d_l itself."""
        widths = self.network.widths
        first = sum(widths[1:layer])
        matrix = np.zeros((widths[layer], self.total + self._sliding()))
        matrix[:, first : first + widths[layer]] = np.eye(widths[layer])
        return matrix, np.zeros(widths[layer])

    def _sliding(self) -> int:
        return int(sum(pieces.slides.sum() for pieces in self.pieces))

    def _terms(self, layer: int) -> tuple[Affine, Affine, Affine]:
        """k_l in units of the scale of `layer`, the feed-forward shift p_l and the mismatch m_l."""
        own, size = self._own(layer), self.scales[layer]
        if layer == 1:
            nothing = 0 * own[0], 0 * own[1]
            return nothing, nothing, own
        below = self._own(layer - 1)[0][: self.network.n_projecting(layer - 1)]
        ratio = scale_ratio(self.start, layer - 1, layer)
        k = ratio * np.asarray(self.network.weights[layer - 1]) @ below, np.zeros(len(own[1]))
        slope, _ = self._slopes(layer)
        drive, at_rest = (
            self.trial.activity.drive(layer)[0],
            self.trial.activity.slope(layer)[0],
        )
        p = slope[:, None] * k[0], (slope - at_rest) * drive / max(size, smallest_normal(drive))
        slides = self.pieces[layer - 1].slides
        if slides.any():  # f is 0 at the kink
            p[0][slides] = 0.0
            p[1][slides] = (-at_rest * drive / max(size, smallest_normal(drive)))[slides]
        return k, p, (own[0] - p[0], own[1] - p[1])

    def _message(self, layer: int, k: Affine, p: Affine, m: Affine) -> Affine:
        """What `layer` sends down, in units of its scale."""
        circuit, trial, pieces = self.circuit, self.trial, self.pieces[layer - 1]
        slope, sent = self._slopes(layer)
        gain = slope**2 if circuit.pathway.gradient_adjusted else np.ones_like(slope)
        gain = gain * self._rows(layer)
        drive = trial.activity.drive(layer)[0]
        size = max(self.scales[layer], smallest_normal(drive))
        base = drive if circuit.from_present_drive else trial.senders_at_rest(layer)[0]
        still = np.zeros_like(drive) if trial.still is None else trial.still[layer - 1][0]
        # (A u + g m) / A' - base, in which what cancels is never formed
        ratio, own = slope / sent, gain / sent
        kept = ratio - 1.0 if circuit.from_present_drive else ratio
        matrix = kept[:, None] * k[0] + own[:, None] * m[0]
        offset = (ratio * drive - base + own * still) / size + own * m[1]
        if circuit.from_present_drive:
            offset = kept * drive / size + own * m[1]
        place = self.total + sum(int(p.slides.sum()) for p in self.pieces[: layer - 1])
        for unit in np.flatnonzero(pieces.slides):
            matrix[unit], offset[unit] = 0.0, 0.0
            matrix[unit, place] = 1.0
            place += 1
        return matrix, offset

    def _rows(self, layer: int) -> np.ndarray:
        """N^2, or 1."""
        ones = np.ones((1, self.network.widths[layer]), dtype=self.trial.error.dtype)
        return np.asarray(self.circuit.by_rows(layer, ones))[0]

    def _solved(self) -> np.ndarray | None:
        """All unknowns on the present pieces; None where the matrix is singular."""
        trial, circuit, network = self.trial, self.circuit, self.network
        terms = [self._terms(layer) for layer in range(1, self.depth + 1)]
        rows: list[np.ndarray] = []
        right: list[np.ndarray] = []
        for layer in range(1, self.depth + 1):
            k, p, m = terms[layer - 1]
            n, gamma = network.n_projecting(layer), circuit.strength(layer)
            matrix, offset = m[0].copy(), m[1].copy()
            size = max(self.scales[layer], smallest_normal(offset))
            if layer == self.depth:
                if not trial.is_free:
                    error = trial.error[0, :n] / size
                    matrix[:n] += gamma * p[0][:n]
                    offset[:n] += gamma * (p[1][:n] - error)
            else:
                above = self._message(layer + 1, *terms[layer])
                weight = gamma * scale_ratio(self.start, layer + 1, layer)
                back = weight * self.feedback[layer + 1]
                if circuit.from_present_drive:
                    matrix[:n] *= 1 - gamma
                    offset[:n] *= 1 - gamma
                else:
                    matrix[:n] += gamma * p[0][:n]
                    offset[:n] += gamma * p[1][:n]
                matrix[:n] -= back @ above[0]
                offset[:n] -= back @ above[1]
                if trial.is_free:
                    offset[:n] -= gamma * np.asarray(trial.source[layer - 1])[0] / size
            rows.append(matrix)
            right.append(-offset)
            slides = self.pieces[layer - 1].slides
            if slides.any():
                drive = trial.activity.drive(layer)[0][slides]
                rows.append(k[0][slides])
                right.append(-drive / size)
        try:
            found = np.linalg.solve(np.concatenate(rows), np.concatenate(right))
        except np.linalg.LinAlgError:
            return None
        return found if np.all(np.isfinite(found)) else None

    def _changes(self, layer: int, solved: np.ndarray) -> tuple[np.ndarray, _Pieces]:
        """Which units of `layer` the solution contradicts, and where they are to be."""
        pieces, trial = self.pieces[layer - 1], self.trial
        unit, drive = self.network.activation(layer), trial.activity.drive(layer)[0]
        size, terms = self.scales[layer], self._terms(layer)
        k, _, m = (matrix @ solved + offset for matrix, offset in terms)
        matrix, offset = self._message(layer, *terms)
        message = matrix @ solved + offset
        now = drive + size * k
        base = now if self.circuit.from_present_drive else trial.senders_at_rest(layer)[0]
        up, sends_up = now > 0, base + size * message > 0
        slides = np.zeros_like(pieces.slides)
        if self.jumps[layer]:
            still = np.zeros_like(drive) if trial.still is None else trial.still[layer - 1][0]
            deviation = self._rows(layer) * (m + still / max(size, smallest_normal(m)))
            slides, up, sends_up = self._at_kinks(layer, deviation, message, up, sends_up)
        elif not has_kink(unit):
            up, sends_up = pieces.up, pieces.sends_up
        wanted = _Pieces(up, sends_up, slides, pieces.moved)
        change = (up != pieces.up) | (sends_up != pieces.sends_up) | (slides != pieces.slides)
        # at the kink it has no side
        change &= ~(slides & pieces.slides)
        return change, wanted

    def _at_kinks(
        self,
        layer: int,
        deviation: np.ndarray,
        message: np.ndarray,
        up: np.ndarray,
        sends_up: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which units are to rest at their kink, and the sides of the others, when the units send
        `message` with a `deviation` that is N^2 times their mismatch.
        """
        pieces, unit = self.pieces[layer - 1], self.network.activation(layer)
        down = deviation < 0
        gain, size = self.circuit.pathway, self.scales[layer]
        least, most = messages_at_kink(unit, gain, np.where(down, deviation, -1.0), size)
        start = 0.0
        if self.circuit.is_plain:  # what is sent there counts from what is sent at rest
            start = self.trial.senders_at_rest(layer)[0] / max(size, smallest_normal(message))
        least, most = least - start, most - start
        held = pieces.slides & down & (least <= message) & (message <= most)
        other = pieces.moved & (sends_up != pieces.sends_up)
        caught = ~pieces.slides & down & ((up != pieces.up) | other)
        let_go = pieces.slides & ~held
        # above the kink a message that crosses it is the lowest, below it the highest
        up = np.where(let_go, np.where(down, message < least, ~pieces.up), up)
        sends_up = np.where(let_go, ~down & up, sends_up)
        slides = held | caught
        keep = np.where(slides, pieces.up, up), np.where(slides, pieces.sends_up, sends_up)
        return slides, *keep

    def _move(self, layer: int, change: np.ndarray, wanted: _Pieces) -> None:
        old = self.pieces[layer - 1]
        self.pieces[layer - 1] = _Pieces(
            np.where(change, wanted.up, old.up),
            np.where(change, wanted.sends_up, old.sends_up),
            np.where(change, wanted.slides, old.slides),
            old.moved | change,
        )
