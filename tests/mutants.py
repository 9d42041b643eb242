"""Deliberate one-line defects that the suite must catch: `python -m tests.mutants [NAME ...]`.

Each is made in a copy of the project, and the tests named beside it are run there. A defect that
they do not notice is a hole in the suite; the exit status is 1 then.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Mutant:
    """`old` replaced by `new` in `file`; `tests` must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: str


MUTANTS = (
    Mutant(
        "kink forgotten in a difference",
        "circuit/activations.py",
        "return slope * d + (1 - slope) * above",
        "return slope * d + (1 - slope) * d",
        "tests/test_activations.py",
    ),
    Mutant(
        "Eq. 16 without the square",
        "circuit/feedback.py",
        "deviation * slope * slope if",
        "deviation * slope if",
        "tests/test_rules.py",
    ),
    Mutant(
        "increment left out of the non-linear part",
        "circuit/rules.py",
        "scale.times(gamma).value",
        "scale.value",
        "tests/test_rules.py",
    ),
    Mutant(
        "gain counted twice",
        "circuit/rules.py",
        "gain = gain.times(gamma)",
        "gain = gain.times(gamma).times(gamma)",
        "tests/test_rules.py",
    ),
    Mutant(
        "gambler's ruin without return",
        "circuit/feedback.py",
        "ratios.append(strength / escape)",
        "ratios.append(strength)",
        "tests/test_rules.py",
    ),
    Mutant(
        "gamma in place of gamma / (1 - gamma)",
        "circuit/feedback.py",
        "*(value / (1 - value) for value in strengths[:-1])",
        "*strengths[:-1]",
        "tests/test_rules.py",
    ),
    Mutant(
        "update not averaged over the batch",
        "circuit/plasticity.py",
        "error = slope * shift / slope.shape[-2]",
        "error = slope * shift",
        "tests/test_plasticity.py",
    ),
    Mutant(
        "softmax of unnormalised targets",
        "circuit/losses.py",
        "return targets - total * exponentials",
        "return targets - exponentials",
        "tests/test_losses.py",
    ),
    Mutant(
        "auxiliary units slowed like the others",
        "circuit/dynamics.py",
        "pulled = driven[..., :n] + gamma * (feedback - feedforward[..., :n])",
        "driven = (1 - gamma) * driven\n"
        "        pulled = driven[..., :n] + gamma * (feedback - feedforward[..., :n])",
        "tests/test_dynamics.py",
    ),
    Mutant(
        "GAIT demand without its leak",
        "circuit/shift_dynamics.py",
        "demand = (1 - gamma) * mismatch[..., :n]",
        "demand = mismatch[..., :n]",
        "tests/test_dynamics.py tests/test_verification.py",
    ),
    Mutant(
        "Jacobian without the change of slope",
        "circuit/jacobian.py",
        "tangent = pushed[-1] + slope * slope * (tangent - pushed[-1]) + steepening",
        "tangent = pushed[-1] + slope * slope * (tangent - pushed[-1])",
        "tests/test_dynamics.py",
    ),
    Mutant(
        "ruler over the whole batch instead of the worst sample",
        "circuit/verification.py",
        "return largest(residual / shift)",
        "return largest(residual) / largest(shift)",
        "tests/test_verification.py tests/test_equilibrium.py",
    ),
    Mutant(
        "upper bound without the norm of the inverse",
        "circuit/verification.py",
        "residual_norm = here.inverse_norm * row_norms(pushed)",
        "residual_norm = 0.01 * row_norms(pushed)",
        "tests/test_verification.py tests/test_equilibrium.py",
    ),
    Mutant(
        "tolerance not kept",
        "circuit/batches.py",
        "if now <= self.tolerance:",
        "if now <= 1e6 * self.tolerance:",
        "tests/test_equilibrium.py",
    ),
    Mutant(
        "finished samples put back in the wrong rows",
        "circuit/arrays.py",
        "source[index] = batch + place",
        "source[place] = batch + place",
        "tests/test_network.py tests/test_equilibrium.py",
    ),
    Mutant(
        "error bound that does not go down with the feedback",
        "circuit/bounds.py",
        "new[layer] = descent[layer] * new[layer + 1] + reduced[layer]",
        "new[layer] = reduced[layer]",
        "tests/test_bounds.py",
    ),
    Mutant(
        "refinement that adds what it should take off",
        "circuit/methods/direct.py",
        "couplings.append(drive_shift - known)",
        "couplings.append(drive_shift + known)",
        "tests/test_equilibrium.py",
    ),
    Mutant(
        "fixed step not fixed",
        "circuit/methods/ode.py",
        '"max_step": fixed_step',
        '"max_step": 2 * fixed_step',
        "tests/test_ode.py",
    ),
    Mutant(
        "Brian2 feedback through the transpose",
        "circuit/brian/pieces.py",
        "network.factors[layer - 1].inverse",
        "network.factors[layer - 1].weights.T",
        "tests/test_brian.py",
    ),
    Mutant(
        "verdict that ignores the bound",
        "analysis/report.py",
        "entry.relative_error <= layer.allowed",
        "entry.relative_error <= 1e9",
        "tests/test_run_equilibrium.py",
    ),
    Mutant(
        "what is undecided called agreement",
        "analysis/report.py",
        "Outcome.UNDECIDED if self.undecided else Outcome.AGREES",
        "Outcome.AGREES",
        "tests/test_run_equilibrium.py::test_a_bound_that_decides_nothing_exits_with_3",
    ),
    Mutant(
        "bound on the update without what increments of some size add",
        "analysis/deviation.py",
        "steepness * bent + fresh",
        "steepness * bent",
        "tests/test_alignment.py",
    ),
    Mutant(
        "bound on the update with slopes in place of secants",
        "analysis/deviation.py",
        "there + scale * sent, gain.local(slope, apart)",
        "there, gain.local(slope, apart)",
        "tests/test_alignment.py",
    ),
    Mutant(
        "bound on the shift without what its drive adds",
        "analysis/deviation.py",
        'readout == "shift" and layer > 1',
        'readout == "shift" and layer > 9',
        "tests/test_alignment.py",
    ),
    Mutant(
        "a unit at its kink for which the ruler takes any message",
        "circuit/sliding.py",
        "nearest = xp.minimum(xp.maximum(wanted, least), largest)",
        "nearest = wanted",
        "tests/test_sliding.py -k ruler",
    ),
    Mutant(
        "a unit that counts as at its kink however far it is from there",
        "circuit/sliding.py",
        "weight * xp.abs(wanted - nearest) + xp.abs(away) <",
        "weight * xp.abs(wanted - nearest) <",
        "tests/test_sliding.py -k exact",
    ),
    Mutant(
        "rest at a kink that repels",
        "circuit/sliding.py",
        "there = there & (terms.mismatch < 0)",
        "there = there & (terms.mismatch < 1e300)",
        "tests/test_sliding.py -k ruler",
    ),
    Mutant(
        "a unit at its kink with the message that its slope would send",
        "circuit/descent_units.py",
        "xp.where(rests, wanted, message)",
        "xp.where(rests, least, message)",
        "tests/test_sliding.py -k gap",
    ),
    Mutant(
        "slope at a kink not the root of the message's share",
        "circuit/sliding.py",
        "xp.sqrt(xp.where(there, ratio, 0 * ratio))",
        "xp.where(there, ratio, 0 * ratio)",
        "tests/test_sliding.py -k gap",
    ),
    Mutant(
        "shift without the noise of its free phase",
        "analysis/fluctuations.py",
        "nudged_phase + free_phase, matrix",
        "nudged_phase, matrix",
        "tests/test_noise.py",
    ),
    Mutant(
        "time average that forgets where it began",
        "analysis/fluctuations.py",
        "(count * eye - gone @ inverse)",
        "(count * eye)",
        "tests/test_noise.py",
    ),
    Mutant(
        "damaged cell taken for a result",
        "analysis/cells.py",
        ' or about.get("digest") != _digest(result)',
        "",
        "tests/test_sweep.py -k damaged",
    ),
    Mutant(
        "fold taken for a branch point",
        "analysis/branches.py",
        "here.tangent[-1] * there.tangent[-1] < 0 else",
        "here.tangent[-1] * there.tangent[-1] > 0 else",
        "tests/test_branches.py",
    ),
    Mutant(
        "corrected feedback without the layer's own rate",
        "analysis/imperfection.py",
        "return pulled + state[layer - 1][:, :n] if circuit.corrected else pulled",
        "return pulled",
        "tests/test_imperfection.py",
    ),
    Mutant(
        "checkpoint of another version accepted",
        "models/checkpoints.py",
        "if (version, package) != (VERSION, here):",
        "if package != here:",
        "tests/test_checkpoints.py",
    ),
    Mutant(
        "checkpoint of another configuration accepted",
        "models/checkpoints.py",
        "if saved.get(name) != configured.get(name):",
        "if name not in saved:",
        "tests/test_checkpoints.py",
    ),
    Mutant(
        "state saved with what is kept for speed still at work in the run that saved it",
        "models/training.py",
        "return (rested(learner) if resting else learner), seen",
        "return learner, seen",
        "tests/test_checkpoints.py",
    ),
    Mutant(
        "epoch chosen on the test images",
        "models/training.py",
        'by = "test" if plan.validation == 0 else "validation"',
        'by = "test"',
        "tests/test_training.py",
    ),
    Mutant(
        "validation images learnt from",
        "models/material.py",
        "learning = rows[:, held_out:]",
        "learning = rows",
        "tests/test_training.py",
    ),
    Mutant(
        "every network of a stack takes its images in the order of the first",
        "models/training.py",
        "generator.bit_generator.state = known",
        "generator.bit_generator.state = state.generators[0]",
        "tests/test_training.py",
    ),
    Mutant(
        "reference preset with the usual Adam",
        "models/presets.py",
        '"bias_correction": "no",',
        '"bias_correction": "yes",',
        "tests/test_presets.py",
    ),
    Mutant(
        "anti-Hebbian plasticity of a unit with itself",
        "circuit/inhibition.py",
        "rate * without_diagonal(correlations(rates, rates))",
        "rate * correlations(rates, rates)",
        "tests/test_inhibition.py",
    ),
    Mutant(
        "synapses taught by the drive, not by what inhibition took from it",
        "circuit/inhibition.py",
        "correlations(drives - rates, presynaptic)",
        "correlations(drives, presynaptic)",
        "tests/test_inhibition.py",
    ),
    Mutant(
        "the same spontaneous activity in every step",
        "circuit/inhibition.py",
        "(STREAM, step, layer)",
        "(STREAM, layer)",
        "tests/test_inhibition.py",
    ),
    Mutant(
        "synapses behind decorrelated inputs see the inputs before",
        "circuit/decorrelation.py",
        "if place == INPUTS else direction",
        "if place == DRIVES else direction",
        "tests/test_inhibition.py",
    ),
    Mutant(
        "the spontaneous activity of the first network in all of a stack",
        "models/training.py",
        "np.array(plan.seeds if plan.stacked",
        "np.array(plan.seeds[:1] * len(plan.seeds) if plan.stacked",
        "tests/test_lateral_inhibition.py",
    ),
    Mutant(
        "whitening without a variance to come to, in Brian2",
        "circuit/spontaneous.py",
        "int(i == j)",
        "0",
        "tests/test_lateral_inhibition.py",
    ),
    Mutant(
        "a bias that drives units in sleep",
        "circuit/sleep.py",
        "(weighted - inhibition) - r)/tau",
        "(weighted + bias - inhibition) - r)/tau",
        "tests/test_sleep.py",
    ),
    Mutant(
        "weights that decay in sleep, too",
        "circuit/brian/plastic_texts.py",
        'loss = f"awake_post*{loss} + {asleep}"',
        'loss = f"{loss} + {asleep}"',
        "tests/test_sleep.py",
    ),
    Mutant(
        "Eq. 23 with twice the lambda beside inhibition",
        "models/studies/sleeping.py",
        "W + lambdas * orthogonality",
        "W + 2 * lambdas * orthogonality",
        "tests/test_sleep.py",
    ),
    Mutant(
        "an inverse that learns to reconstruct the other rates",
        "circuit/learned_inverse.py",
        'aim = rates + noise if practice.aim == "noisy" else rates',
        'aim = rates + noise if practice.aim == "clean" else rates',
        "tests/test_learned_inverse.py",
    ),
    Mutant(
        "an inverse that climbs its error",
        "circuit/learned_inverse.py",
        "return plus_outer_sum(weights, error * step, seen), biases",
        "return plus_outer_sum(weights, -error * step, seen), biases",
        "tests/test_learned_inverse.py",
    ),
    Mutant(
        "correction where none was asked for",
        "circuit/learned_inverse.py",
        "if not corrected:",
        "if corrected:",
        "tests/test_learned_inverse.py",
    ),
    Mutant(
        "the free phase of the plain circuit without its own feedback",
        "circuit/learned_circuit.py",
        "gap = model.reconstruct(layer, h + message) - rates",
        "gap = model.reconstruct(layer, h) - rates",
        "tests/test_learned_inverse.py",
    ),
    Mutant(
        "the same noise in every step",
        "circuit/learned_inverse.py",
        "count = (PRACTICE, step, again, layer)",
        "count = (PRACTICE, 0, again, layer)",
        "tests/test_learned_inverse.py",
    ),
    Mutant(
        "the feedback of the layer itself in place of that below it",
        "circuit/descent.py",
        "return circuit.strength(layer - 1) * ratio(scales",
        "return circuit.strength(layer) * ratio(scales",
        "tests/test_equilibrium.py::test_closed_form_with_unequal_feedback",
    ),
    Mutant(
        "couplings that none below has changed",
        "circuit/descent.py",
        "trial, layer - 1, descent.inflows[layer - 2], below, descent.scales",
        "trial, layer - 1, descent.inflows[layer - 2], None, descent.scales",
        "tests/test_descent.py",
    ),
    Mutant(
        "an ITP unit fed by itself with the wrong sign",
        "circuit/descent_units.py",
        "own = d = inflow / (1 - kept * circuit",
        "own = d = inflow / (1 + kept * circuit",
        "tests/test_equilibrium.py::test_closed_form_of_the_itp_circuit",
    ),
    Mutant(
        "a kink crossed on the other side alone",
        "circuit/descent_units.py",
        "stays = stays & unit.stays(h, rho * message + coupling, below)",
        "stays = stays | unit.stays(h, rho * message + coupling, below)",
        "tests/test_equilibrium.py",
    ),
    Mutant(
        "a GAIT output that is pulled back by its slope, not by the square of it",
        "circuit/descent_units.py",
        "(1 + pulled * alpha * rho * slope * slope)",
        "(1 + pulled * alpha * rho * slope)",
        "tests/test_equilibrium.py::test_settled_means_at_rest_in_the_printed_equations",
    ),
    Mutant(
        "an output that is pushed from its target where its drive rises",
        "circuit/descent_units.py",
        "m = inflow - pulled * p",
        "m = inflow + pulled * p",
        "tests/test_equilibrium.py",
    ),
    Mutant(
        "damping of what goes straight ahead",
        "circuit/couplings.py",
        "np.where(along < 0, CUT, GROWTH)",
        "np.where(along > 0, CUT, GROWTH)",
        "tests/test_descent.py",
    ),
    Mutant(
        "damping that is forgotten from step to step",
        "circuit/couplings.py",
        "share = np.clip(last.share * ",
        "share = np.clip(",
        "tests/test_descent.py",
    ),
    Mutant(
        "damped couplings of the last step in place of this one",
        "circuit/couplings.py",
        "return new - (1 - shares)[..., None] * move",
        "return new - shares[..., None] * move",
        "tests/test_descent.py",
    ),
    Mutant(
        "damping of the first samples for those that are left",
        "circuit/couplings.py",
        "return Damping(self.share[list(rows)]",
        "return Damping(self.share[: len(rows)]",
        "tests/test_descent.py",
    ),
    Mutant(
        "a mismatch without that of its own free phase",
        "circuit/learned_circuit.py",
        "values[i], scales[i] = own + mismatches.absolute(i + 1), ONE",
        "values[i], scales[i] = mismatches.absolute(i + 1), ONE",
        "tests/test_learned_inverse.py::test_equilibrium_of_the_printed_equations",
    ),
    Mutant(
        "a slope that changes only once along a shift",
        "circuit/learned_circuit.py",
        "steeper * (later + slope) * still",
        "steeper * later * still",
        "tests/test_learned_inverse.py::test_weak_feedback_against_newton_in_shift_coordinates",
    ),
    Mutant(
        "what is not finite counts as settled",
        "circuit/learned_circuit.py",
        "ratio = xp.where(part == 0, 0 * one, ratio)",
        "ratio = xp.where(part == 0, 0 * one, ratio)\n    return ratio",
        "tests/test_learned_inverse.py::test_what_is_not_finite_has_not_settled",
    ),
    Mutant(
        "an inverse that does not learn alone where it makes no step beside",
        "circuit/learned_inverse.py",
        "return max(1, self.steps)",
        "return self.steps",
        "tests/test_learned_inverse.py::test_the_inverse_learns_alone_beforehand_and_then_beside",
    ),
    Mutant(
        "targets through the inverse of the step before",
        "circuit/learning.py",
        "if practice.order != SIMULTANEOUS:",
        "if practice.order == SIMULTANEOUS:",
        "tests/test_learned_inverse.py::test_simultaneous_targets_go_through_the_inverse_as_it_was",
    ),
    Mutant(
        "blocks that begin with the network",
        "circuit/learned_inverse.py",
        "rounds * self.block + max(0, rest - self.block)",
        "rounds * self.block + min(self.block, rest)",
        "tests/test_learned_inverse.py::test_alternating_blocks_are_of_the_inverse_and_then_of_the_network",
    ),
    Mutant(
        "an inverse that learns in the turn of the network as well",
        "circuit/learned_inverse.py",
        "return 0 if self.order == ALTERNATING and",
        "return 0 if self.order == FIRST and",
        "tests/test_learned_inverse.py::test_alternating_blocks_are_of_the_inverse_and_then_of_the_network",
    ),
    Mutant(
        "noise in the scale of the shift it is added to",
        "circuit/learned_shifts.py",
        "widened(wrong * ONE.over(scale).value, value.shape[-1])",
        "widened(wrong, value.shape[-1])",
        "tests/test_learned_inverse.py::test_a_circuits_shifts_are_read_with_noise_in_units_of_the_rates",
    ),
    Mutant(
        "a random inverse that is read with another rate",
        "circuit/learned_inverse.py",
        "biases = biases + (rate / inputs) * xp",
        "biases = biases + rate * xp",
        "tests/test_learned_inverse.py::test_a_step_follows_the_gradient_of_the_reconstruction",
    ),
    Mutant(
        "a lesson without the companions that it needs",
        "circuit/learning.py",
        "_require_companions(learner.companions, needed)",
        "_require_companions(learner.companions, ())",
        "tests/test_lateral_inhibition.py tests/test_learned_inverse.py",
    ),
    Mutant(
        "an alignment without the companions that it needs",
        "circuit/learning.py",
        "_require_companions(beside, learned_shifts.needed_by(lesson, network.depth))",
        "_require_companions(beside, ())",
        "tests/test_learned_inverse.py::test_shifts_without_the_companions_that_they_need_are_refused",
    ),
    Mutant(
        "a unit that inhibits itself",
        "circuit/inhibition.py",
        "rate * without_diagonal(correlations(rates, rates))",
        "rate * correlations(rates, rates)",
        "tests/test_inhibition.py",
    ),
    Mutant(
        "whitening to another variance",
        "circuit/inhibition.py",
        "shifted(correlations(rates, rates), -1.0)",
        "shifted(correlations(rates, rates), -2.0)",
        "tests/test_inhibition.py",
    ),
    Mutant(
        "synapses back from inhibitory cells that do not decay",
        "circuit/inhibition.py",
        "rate * (back - from_inhibitory)",
        "rate * back",
        "tests/test_inhibition.py",
    ),
    Mutant(
        "half of the pull of the regulariser",
        "circuit/inhibition.py",
        "(-8 * strength)",
        "(-4 * strength)",
        "tests/test_inhibition.py",
    ),
    Mutant(
        "inhibition of a mean that all units share",
        "circuit/decorrelation.py",
        "rates = drives - namespace(drives).mean(drives, axis=-2, keepdims=True)",
        "rates = drives",
        "tests/test_inhibition.py tests/test_lateral_inhibition.py",
    ),
    Mutant(
        "inputs as they come, not as they are inhibited",
        "circuit/decorrelation.py",
        "rates = solved(shifted(lateral, 1.0), inputs)",
        "rates = inputs",
        "tests/test_inhibition.py tests/test_lateral_inhibition.py",
    ),
    Mutant(
        "inhibition of what a layer reads in place of its units",
        "circuit/decorrelation.py",
        "if place == DRIVES:\n        return",
        "if place == INPUTS:\n        return",
        "tests/test_inhibition.py",
    ),
    Mutant(
        "Eq. 16 without the square, in a plastic circuit",
        "circuit/brian/plastic_texts.py",
        "slope**2*mismatch",
        "slope*mismatch",
        "tests/test_learning_in_circuit.py::test_brian_runs_the_equations_as_printed",
    ),
    Mutant(
        "plastic synapses that do not see the slope of a unit",
        "circuit/brian/plastic_texts.py",
        "teaching = rate*slope*{signal}/gain",
        "teaching = rate*{signal}/gain",
        "tests/test_learning_in_circuit.py::test_brian_runs_the_equations_as_printed",
    ),
    Mutant(
        "feedback that does not see the rate below it",
        "circuit/brian/plastic_texts.py",
        "plasticity*lesson_pre*y_post",
        "plasticity*lesson_pre",
        "tests/test_learning_in_circuit.py::test_brian_runs_the_equations_as_printed",
    ),
    Mutant(
        "tags that are captured while the output is nudged",
        "circuit/brian/plastic_texts.py",
        "dweight/dt = {free}*tag/capture_post",
        "dweight/dt = (1 - {free})*tag/capture_post",
        "tests/test_learning_in_circuit.py::test_brian_runs_the_equations_as_printed",
    ),
    Mutant(
        "a membrane as slow as its unit whatever was said",
        "circuit/brian/plastic_texts.py",
        "(response - own)/own_tau",
        "(response - own)/tau",
        "tests/test_learning_in_circuit.py::test_brian_runs_the_equations_as_printed",
    ),
    Mutant(
        "a teaching signal divided by the gain of the layer above",
        "circuit/plastic.py",
        "np.prod(ratios[layer:])",
        "np.prod(ratios[layer + 1 :])",
        "tests/test_learning_in_circuit.py",
    ),
    Mutant(
        "cells chosen by the last parameter alone",
        "analysis/selection.py",
        "keep &= data[name].values == value",
        "keep = data[name].values == value",
        "tests/test_selection.py",
    ),
    Mutant(
        "groups of cells that agree in anything",
        "analysis/selection.py",
        "np.all([column == value",
        "np.any([column == value",
        "tests/test_selection.py",
    ),
    Mutant(
        "only what is measured everywhere is measured",
        "analysis/selection.py",
        "found.any(axis=",
        "found.all(axis=",
        "tests/test_selection.py",
    ),
    Mutant(
        "infinity as a value",
        "analysis/selection.py",
        "np.isfinite(found)",
        "~np.isnan(found)",
        "tests/test_selection.py",
    ),
    Mutant(
        "results of another version drawn as if they were of this",
        "models/study_command.py",
        'data.attrs.get("study_version") != version',
        'data.attrs.get("study_version") is None',
        "tests/test_run_open_questions.py::test_results_of_another_version_are_refused",
    ),
    Mutant(
        "a checkpoint whose moments are of another shape",
        "models/checkpoints.py",
        "!= shapes for other in others",
        "== () for other in others",
        "tests/test_checkpoints.py",
    ),
    Mutant(
        "an option that does nothing goes unnoticed",
        "models/options.py",
        "chosen.given.intersection(names)",
        "set().intersection(names)",
        "tests/test_run_derivation.py::test_bad_input_is_one_line_and_status_2",
    ),
    Mutant(
        "earlier columns of an inverse trusted without a check",
        "circuit/moved.py",
        "self._residual(units, columns, start.size) <= self._enough",
        "self._residual(units, columns, start.size) <= 1",
        "tests/test_inverse.py",
    ),
    Mutant(
        "earlier columns trusted where weights become singular",
        "circuit/moved.py",
        "largest(frobenius_norm(columns) / start.inverse_norm) <= 1",
        "largest(frobenius_norm(columns) / start.inverse_norm) <= 1e9",
        "tests/test_inverse.py",
    ),
    Mutant(
        "earlier columns combined the wrong way round",
        "circuit/moved.py",
        "back = namespace(units).matrix_transpose(_inverted(images))",
        "back = _inverted(images)",
        "tests/test_inverse.py",
    ),
)


def survives(mutant: Mutant) -> bool:
    """Whether the tests pass with the defect in place."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        ignored = shutil.ignore_patterns(".git", ".venv*", "results", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, copy, ignore=ignored)
        path = copy / mutant.file
        text = path.read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            raise SystemExit(f"{mutant.name}: {mutant.old!r} stands {text.count(mutant.old)} times")
        path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", *mutant.tests.split()],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 1):
            raise SystemExit(f"{mutant.name}: the tests did not run\n{done.stdout}{done.stderr}")
        return done.returncode == 0


def main() -> int:
    """Try every defect, or those whose names are given."""
    parser = argparse.ArgumentParser(prog="tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a defect; by default all")
    wanted = parser.parse_args().names
    unknown = set(wanted) - {mutant.name for mutant in MUTANTS}
    if unknown:
        parser.error(f"no defect is called {min(unknown)!r}; the names stand in tests/mutants.py")
    tried = [mutant for mutant in MUTANTS if not wanted or mutant.name in wanted]
    holes = 0
    for mutant in tried:
        alive = survives(mutant)
        holes += alive
        print(f"{'SURVIVES' if alive else 'caught':9} {mutant.name} ({mutant.file})", flush=True)
    print(f"{holes} of {len(tried)} defects survive")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
