"""Deliberate one-line defects that the suite must catch: `python -m tests.mutants [NAME ...]`.

Each is made in a copy of the project, and the tests named beside it are run there. A defect that
they do not notice is a hole in the suite; the exit status is 1 then.
"""

from __future__ import annotations

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
        "own.relative_error <= layer.bound",
        "own.relative_error <= 1e9",
        "tests/test_run_equilibrium.py",
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
    wanted = sys.argv[1:]
    holes = 0
    for mutant in MUTANTS:
        if wanted and mutant.name not in wanted:
            continue
        alive = survives(mutant)
        holes += alive
        print(f"{'SURVIVES' if alive else 'caught':9} {mutant.name} ({mutant.file})", flush=True)
    print(f"{holes} of {len(MUTANTS)} defects survive")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
