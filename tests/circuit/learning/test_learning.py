"""A step of learning against automatic differences, and solves with weights that move."""

from dataclasses import replace

import numpy as np
import pytest

from circuit.errors import CircuitError
from circuit.initialisation.networks import initialise
from circuit.lateral_inhibition.companions import Decorrelation
from circuit.learning.lesson import Inhibition, LearnedInverse, Lesson, Regulariser
from circuit.learning.step import begin_learning, fresh, learn
from circuit.losses import LOSSES
from circuit.rules import RULES
from circuit.settings.learning import CIRCUIT, Adam
from circuit.shifts import READOUTS
from circuit.units.table import activation

EVERY_RULE = [(rule, "shift") for rule in (*RULES, CIRCUIT)] + [(CIRCUIT, "mismatch")]


def _task(seed=0, width=24, depth=3, batch=10, dtype="float64", **options):
    rng = np.random.default_rng(seed)
    network = initialise([width] * (depth + 1), rng, n_outputs=4, dtype=dtype, **options)
    inputs = rng.random((batch, width)).astype(dtype)
    targets = np.eye(4, dtype=dtype)[rng.integers(0, 4, batch)]
    return network, inputs, targets, rng


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", [1e-4, 1e-2, 0.3])
def test_solves_with_moved_weights_are_as_exact_as_fresh_ones(dtype, size):
    """|W x - v| after many moves, small and large, against LAPACK's own residual."""
    network, _, _, rng = _task(dtype=dtype)
    eps = np.finfo(dtype).eps
    for _ in range(12):
        moved = tuple(
            (w + size * rng.standard_normal(w.shape) / np.sqrt(w.shape[-1])).astype(dtype)
            for w in network.weights
        )
        network = network.moved(moved, network.biases)
        rows = rng.standard_normal((10, 24)).astype(dtype)
        for layer in range(1, network.depth + 1):
            weights = network.weights[layer - 1].astype(float)
            solution = network.factors[layer - 1].solve(rows).astype(float)
            own = np.linalg.solve(network.weights[layer - 1], rows.T).T.astype(float)
            scale = np.linalg.norm(weights, 2) * np.linalg.norm(solution) + np.linalg.norm(rows)
            found = np.linalg.norm(solution @ weights.T - rows) / scale
            lapack = np.linalg.norm(own @ weights.T - rows) / scale
            assert found <= 8 * max(lapack, eps)


@pytest.mark.parametrize("rule", list(RULES))
def test_first_step_goes_by_the_learning_rate_against_the_gradient(rule):
    """Adam's first step with bias correction is lr times the sign of the update (Kingma and Ba)."""
    network, inputs, targets, _ = _task()
    lesson = Lesson(rule=rule, adam=Adam(1e-3, epsilon=1e-30))
    after, _ = learn(begin_learning(network), lesson, inputs, targets)
    for layer in range(network.depth):
        change = after.network.weights[layer] - network.weights[layer]
        moving = np.abs(change) > 0
        np.testing.assert_allclose(np.abs(change[moving]), 1e-3, rtol=1e-6)


def test_back_propagation_step_lowers_the_loss_as_its_gradient_says():
    """The sign of each change of W is minus that of the loss's central difference."""
    network, inputs, targets, rng = _task(width=8, depth=2)
    after, _ = learn(begin_learning(network), Lesson(rule="bp", adam=Adam(1e-6)), inputs, targets)

    def loss(weights):
        rates = inputs
        for w in weights:
            drive = rates @ w.T
            rates = np.maximum(drive, 0.1 * drive)
        return 0.5 * np.mean(np.sum((rates[:, :4] - targets) ** 2, axis=1))

    for layer in range(2):
        for _ in range(10):
            i, j = rng.integers(0, 8, 2)
            step = np.zeros((8, 8))
            step[i, j] = 1e-6
            up, down = list(network.weights), list(network.weights)
            up[layer], down[layer] = up[layer] + step, down[layer] - step
            slope = (loss(up) - loss(down)) / 2e-6
            change = (after.network.weights[layer] - network.weights[layer])[i, j]
            assert abs(slope) < 1e-9 or np.sign(change) == -np.sign(slope)


@pytest.mark.parametrize(("rule", "readout"), EVERY_RULE)
def test_auxiliary_rows_do_not_learn_from_the_task(rule, readout):
    """Outputs without a target, and units of layer 1 that the narrower layer 2 does not hear of:
    only the pull towards orthogonality moves what drives them.
    """
    rng = np.random.default_rng(0)
    network = initialise([12, 12, 7, 7], rng, n_outputs=4)
    inputs, targets = rng.random((10, 12)), np.eye(4)[rng.integers(0, 4, 10)]
    for strength in (0.0, 0.1):
        lesson, learner = Lesson(rule, readout=readout, pull=Regulariser(strength)), None
        learner = begin_learning(replace(network, weights=tuple(0.9 * w for w in network.weights)))
        start = learner.network
        for _ in range(5):
            learner, _ = learn(learner, lesson, inputs, targets)
        for layer, projecting in ((1, 7), (2, 7), (3, 4)):
            before, after = (
                (n.weights[layer - 1], n.biases[layer - 1]) for n in (start, learner.network)
            )
            rows = np.any(after[0] != before[0], axis=1)
            assert np.all(rows[:projecting])
            assert np.all(rows[projecting:]) if strength else not np.any(rows[projecting:])
            assert np.array_equal(after[1][projecting:], before[1][projecting:])


@pytest.mark.parametrize("lesson", [Lesson(), Lesson(inverse=LearnedInverse(before=1))])
@pytest.mark.parametrize("loss", list(LOSSES))
def test_targets_that_do_not_fit_are_refused_before_they_are_looked_at(lesson, loss):
    """Also in a step in which the network does not learn yet."""
    network, inputs, targets, _ = _task()
    learner = begin_learning(network, lesson, np.array(1))
    lesson = replace(lesson, loss=loss)
    for bad, words in (
        (targets[:, :3], r"targets have shape \(10, 3\)"),
        (targets.argmax(axis=1), r"targets have shape \(10,\) and dtype int64"),
        (targets * np.nan, "targets holds nan"),
    ):
        with pytest.raises(CircuitError, match=words):
            learn(learner, lesson, inputs, bad)


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (Regulariser, "every"),
        (Inhibition, "every"),
        (Inhibition, "samples"),
        (LearnedInverse, "steps"),
        (LearnedInverse, "before"),
        (LearnedInverse, "block"),
    ],
)
@pytest.mark.parametrize("value", [-1, 1.5, 2.0, np.nan, np.inf])
def test_counts_are_whole_numbers(record, name, value):
    """2.0 too is refused where it is given, and not where something is first counted with it."""
    with pytest.raises(CircuitError, match=rf"{value}.* give a whole number"):
        record(**{name: value})
    assert getattr(record(**{name: np.int64(2)}), name) == 2


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
@pytest.mark.parametrize("rule", [*RULES, CIRCUIT])
def test_a_batch_without_samples_is_refused(rule, shape):
    """A mean over nothing is not a number; of one network and of a stack, also of no networks."""
    network, inputs, targets, _ = _task()
    inputs, targets = (np.zeros((*shape, array.shape[-1])) for array in (inputs, targets))
    with pytest.raises(CircuitError, match="holds no samples"):
        learn(begin_learning(network), Lesson(rule), inputs, targets)


def test_what_a_checkpoint_holds_is_all_that_counts():
    """fresh(learner) twice goes on in the same bits."""
    network, inputs, targets, _ = _task(dtype="float32")
    learner = begin_learning(network)
    for _ in range(5):
        learner, _ = learn(learner, Lesson(), inputs, targets)
    one, other = fresh(learner), fresh(learner)
    for _ in range(3):
        one, _ = learn(one, Lesson(), inputs, targets)
        other, _ = learn(other, Lesson(), inputs, targets)
    for a, b in zip(one.network.weights, other.network.weights, strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("pathway", ["gait", "itp"])
def test_the_circuit_learns_as_the_rule_of_its_pathway_to_first_order_in_gamma(pathway, readout):
    """Update by update along a course of learning, layer by layer: Adam's first moment, begun from
    nothing, is the update, and its distance from the rule's falls at least as gamma does. Not so
    from the other rule's.
    """
    network, inputs, targets, _ = _task(width=12, activation="asinh")  # no kink to cross
    learner, other = begin_learning(network), {"gait": "itp", "itp": "gait"}[pathway]
    for _ in range(4):
        distances = []
        for gamma in (1e-3, 1e-4):
            found = {}
            for rule in (CIRCUIT, pathway, other):
                lesson = Lesson(rule, gamma, pathway, readout)
                now, _ = learn(begin_learning(learner.network), lesson, inputs, targets)
                found[rule] = now.moments.first_weights
            distances.append(
                [
                    [np.linalg.norm(a - b) / np.linalg.norm(b) for b in (own, strange)]
                    for a, own, strange in zip(*found.values(), strict=True)
                ]
            )
        (coarse, _), (fine, strange) = (np.transpose(one) for one in distances)
        assert np.all(fine < 0.105 * coarse + 1e-12)  # or as its square, in some layers
        assert np.all(coarse < 2e-3)
        assert np.all(strange[:-1] > 100 * fine[:-1])  # the output's is the same by both rules
        learner, _ = learn(learner, Lesson(pathway, adam=Adam(1e-2)), inputs, targets)


@pytest.mark.parametrize("of", ["rows", "columns"])
def test_the_pull_comes_every_so_many_steps_and_as_many_times_as_strong(of):
    """Eq. 23 in loops: what the pull adds to Adam's first moment, begun from nothing, is (1 - beta)
    k times minus its gradient in a step that k divides, and nothing in another.
    """
    network, inputs, targets, rng = _task(width=6, depth=2)
    network = replace(network, weights=tuple(rng.standard_normal((6, 6)) for _ in range(2)))
    lesson, every, strength = Lesson("bp"), 3, 0.2
    pulling = replace(lesson, pull=Regulariser(strength, every, of))
    for step in range(7):
        learner = replace(begin_learning(network), steps=step)
        with_pull, without = (
            learn(learner, one, inputs, targets)[0].moments.first_weights
            for one in (pulling, lesson)
        )
        for W, one, other in zip(network.weights, with_pull, without, strict=True):
            V = W if of == "rows" else W.T
            gradient = np.zeros((6, 6))
            for i in range(6):
                for j in range(6):
                    if i != j:
                        gradient[i] += 4 * strength * (V[i] @ V[j]) * V[j]
            gradient = gradient if of == "rows" else gradient.T
            wanted = (
                -(1 - lesson.adam.beta1) * every * gradient if step % every == 0 else 0 * gradient
            )
            np.testing.assert_allclose(one - other, wanted, rtol=1e-9, atol=1e-12)


def test_a_batch_learns_from_the_samples_that_settle_as_if_of_them_alone():
    """Two networks side by side, of which different samples settle: each as by itself from its own
    samples that settle, one learner a sample says which; in the weights and biases of every layer.
    """
    lesson, learners, samples = Lesson("circuit", 0.7, "gait"), [], []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        network = initialise([9, 8, 7, 6], rng, n_outputs=4)
        learners.append(begin_learning(network))
        samples.append((rng.standard_normal((12, 9)), 6 * rng.standard_normal((12, 4))))
    networks = [learner.network for learner in learners]
    stack = replace(
        networks[0],
        weights=tuple(np.stack(w) for w in zip(*(n.weights for n in networks), strict=True)),
        biases=tuple(np.stack(b) for b in zip(*(n.biases for n in networks), strict=True)),
    )
    inputs, targets = (np.stack(arrays) for arrays in zip(*samples, strict=True))
    together, step = learn(begin_learning(stack), lesson, inputs, targets)
    for i, (learner, (x, t)) in enumerate(zip(learners, samples, strict=True)):
        settles = [bool(learn(learner, lesson, x[[k]], t[[k]])[1].settled) for k in range(12)]
        assert 0 < sum(settles) < 12
        assert step.settled[i] == pytest.approx(np.mean(settles))
        alone, _ = learn(learner, lesson, x[settles], t[settles])
        for name in ("first_weights", "first_biases"):
            pairs = zip(getattr(together.moments, name), getattr(alone.moments, name), strict=True)
            for one, other in pairs:
                np.testing.assert_allclose(one[i], other, rtol=1e-6, atol=1e-12)


def test_where_the_output_layer_alone_learns_it_comes_to_least_squares_on_what_lies_below():
    """Linear outputs above fixed hidden layers: the least loss is that of `numpy.linalg.lstsq`.

    Hidden weights and biases stay as they are to the bit. Negative control: where all layers learn
    the loss falls below what fixed ones allow.
    """
    rng = np.random.default_rng(5)
    network = initialise(
        [9, 7, 6, 3],
        rng,
        init="gaussian",
        activation=(activation("leaky_relu"),) * 2 + (activation("linear"),),
        auxiliary=False,
    )
    inputs, targets = rng.standard_normal((40, 9)), rng.standard_normal((40, 3))
    features = inputs
    for w, b in zip(network.weights[:-1], network.biases[:-1], strict=True):
        drive = features @ w.T + b
        features = np.where(drive > 0, drive, 0.1 * drive)
    design = np.column_stack([features, np.ones(40)])
    best = np.linalg.lstsq(design, targets, rcond=None)[0]
    least = 0.5 * np.mean(np.sum((design @ best - targets) ** 2, axis=1))
    losses = {}
    for learns in ("output", "all"):
        learner = begin_learning(network)
        for rate in (3e-2, 3e-3, 3e-4):
            lesson = Lesson("bp", adam=Adam(rate), pull=Regulariser(0.0), learns=learns)
            for _ in range(500):
                learner, step = learn(learner, lesson, inputs, targets)
        losses[learns] = float(step.loss)
        same = [
            np.array_equal(new, old)
            for new, old in zip(
                (*learner.network.weights, *learner.network.biases),
                (*network.weights, *network.biases),
                strict=True,
            )
        ]
        assert same == ([True, True, False] * 2 if learns == "output" else [False] * 6)
    assert losses["output"] == pytest.approx(least, rel=1e-4)
    assert losses["all"] < 0.9 * least


def test_a_pull_does_not_move_layers_that_do_not_learn():
    """Eq. 23 at a strength that turns every matrix; inhibition that acts would, and is refused."""
    network, inputs, targets, _ = _task(init="gaussian")
    lesson = Lesson("gait", adam=Adam(1e-2), pull=Regulariser(10.0), learns="output")
    after, _ = learn(begin_learning(network), lesson, inputs, targets)
    moved = [
        not np.array_equal(new, old)
        for new, old in zip(after.network.weights, network.weights, strict=True)
    ]
    assert moved == [False, False, True]
    with pytest.raises(CircuitError, match="inhibition that acts"):
        Lesson("gait", pull=Decorrelation(place="decorrelated_drives"), learns="output")
