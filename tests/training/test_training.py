"""Training as a whole: against a transcription in plain loops, alone and in stacks, interrupted."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import xarray as xr

from circuit.errors import CircuitError
from circuit.initialisation.networks import initialise
from circuit.learned_inverse.companions import LearnedInverse, model_of
from circuit.learning.lesson import Lesson
from circuit.learning.regulariser import Regulariser
from circuit.learning.step import begin_learning, learn
from circuit.settings.learning import Adam
from models.command.training_options import options
from models.command.training_settings import resolved
from training import images, measures
from training.epochs import TrainingFailed, begin_training, train
from training.evaluation import evaluate
from training.images import Images, one_hot
from training.plan import Plan, batches_of_an_epoch, generator, plan_of, prepare, single

LESSON = Lesson("bp", adam=Adam(1e-2))


def some_images(rng: np.random.Generator, count: int = 50, pixels: int = 6, dtype="float64"):
    """Images of three classes that a network can tell apart."""
    labels = np.arange(count) % 3
    inputs = 0.3 * rng.random((count, pixels)) + 0.6 * np.eye(3, pixels)[labels]
    return Images("made up", inputs.astype(dtype), labels, side=1, n_classes=3)


@pytest.fixture
def splits(rng):
    """Training and test images."""
    return some_images(rng), some_images(rng, 20)


def plan_for(splits, **options) -> Plan:
    """A small plan in float64."""
    pixels = splits[0].inputs.shape[1]
    options = {"lesson": LESSON, "widths": (pixels, pixels, 4), "precision": "float64"} | options
    return Plan(batch=options.pop("batch", 7), **options)


def run(plan, splits, epochs):
    """The last state of a run."""
    material = prepare(plan, *splits)
    state = begin_training(plan, material)
    for state in train(plan, material, state, epochs):  # noqa: B007, B020
        pass
    return state


@pytest.mark.parametrize("what", ["pixels", "outputs"])
def test_test_images_of_another_kind_are_refused_in_one_line(rng, what):
    train, test = some_images(rng), some_images(rng, 20)
    if what == "pixels":
        test = replace(test, inputs=test.inputs[:, :5])
    else:
        test = replace(test, targets=rng.random((20, 5)), n_classes=5)
    counts = {"pixels": (6, 5), "outputs": (3, 5)}[what]
    words = f"training images of made up have {counts[0]} {what}, test images {counts[1]}; give"
    with pytest.raises(CircuitError, match=words):
        prepare(plan_for((train, test)), train, test)


def test_a_single_output_is_right_where_it_is_on_the_side_of_its_target(rng):
    """Of two classes told apart by the sign of a sum, image by image: some wrong, some right."""
    train_, test = (
        replace(one, targets=np.sign(one.inputs @ np.array([1.0, -1, 1, -1, 0, 0]))[:, None])
        for one in (replace(some_images(rng, count), n_classes=1) for count in (50, 40))
    )
    plan = plan_for((train_, test), widths=(6, 5, 1), lesson=Lesson("bp", adam=Adam(0.02)))
    plan = replace(plan, auxiliary=False)
    state = run(plan, (train_, test), 3)
    for name, data in (("test", test), ("train", train_)):
        rates = data.inputs
        if name == "train":
            material = prepare(plan, train_, test)
            rates, data = rates[material.part[0]], data.targets[material.part[0]]
        else:
            data = data.targets
        for w, b in zip(state.learner.network.weights, state.learner.network.biases, strict=True):
            drives = rates @ w.T + b
            rates = np.where(drives > 0, drives, 0.1 * drives)
        same = [(y > 0) == (t > 0) for y, t in zip(rates[:, 0], data[:, 0], strict=True)]
        assert state.history[f"{name}_accuracy"][-1, 0] == pytest.approx(np.mean(same))
        assert 0.2 < np.mean(same) < 1
    assert (state.history["learning_accuracy"][1:] < 1).all()


def test_what_settles_is_counted_where_the_network_waits_for_its_inverse(rng):
    """Against learning from every image alone, batch by batch: in blocks of two batches, the last
    smaller, the inverse learns, then the network, at a gamma at which some images do not settle.
    """
    splits = some_images(rng), some_images(rng, 20)
    splits = tuple(replace(one, targets=8 * one_hot(one.labels, 3) - 4) for one in splits)
    lesson = Lesson("circuit", 0.3, inverse=LearnedInverse(order="alternating", block=2))
    plan = plan_for(splits, lesson=lesson, widths=(6, 5, 5, 3), auxiliary=False, seeds=(3, 4))
    material = prepare(plan, *splits)
    before = begin_training(plan, material)
    settled, taught = np.zeros((2, 2)), np.zeros((2, 1))
    for number, state in enumerate(train(plan, material, before, 2)):
        if number // 2 % 2 == 1:  # the inverse has had its two
            rows = state.orders[:, 7 * (number % 7) :][:, :7]
            for image in range(rows.shape[1]):
                pair = (values[rows[:, [image]]] for values in (material.inputs, material.targets))
                settled[before.epoch] += learn(before.learner, lesson, *pair)[1].settled
            taught[before.epoch] += rows.shape[1]
        before = state
    assert taught.tolist() == [[7 + 7 + 3], [7 + 7 + 7]]  # of 45 an epoch
    assert (settled > 0).all()
    np.testing.assert_allclose(state.history["settled"][1:], settled / taught, rtol=1e-12)


def arrays_of(state):
    """Every array of a state, by name."""
    network, moments, chosen = state.learner.network, state.learner.moments, state.chosen
    found = {f"W{i}": array for i, array in enumerate(network.weights)}
    found |= {f"b{i}": array for i, array in enumerate(network.biases)}
    found |= {f"chosen W{i}": array for i, array in enumerate(chosen.weights)}
    for name, arrays in vars(moments).items():
        found |= {f"{name}{i}": array for i, array in enumerate(arrays)}
    return found | state.history | {"chosen epochs": state.chosen_epochs}


def assert_same_bits(one, other):
    """Two states, array by array."""
    for name, array in arrays_of(one).items():
        np.testing.assert_array_equal(array, arrays_of(other)[name], err_msg=name)


# --- against a transcription ---


def literal_training(plan, train_images, orders):
    """Back-propagation and Adam in plain loops over images, layers and parameters (Eqs. 1 to 3)."""
    network = initialise(
        plan.widths,
        generator(plan.seeds[0], "weights"),
        n_outputs=train_images.n_classes,
    )
    parameters = [
        [w.copy(), b.copy()] for w, b in zip(network.weights, network.biases, strict=True)
    ]
    means = [[np.zeros_like(p) for p in pair] for pair in parameters]
    squares = [[np.zeros_like(p) for p in pair] for pair in parameters]
    adam, step = plan.lesson.adam, 0
    losses = []
    for order in orders:
        losses.append([])
        for start in range(0, len(order), plan.batch):
            batch = order[start : start + plan.batch]
            gradients = [[np.zeros_like(p) for p in pair] for pair in parameters]
            for image in batch:
                rates, slopes = [train_images.inputs[image]], []
                for weights, bias in parameters:
                    drive = weights @ rates[-1][: len(bias)] + bias
                    rates.append(np.where(drive > 0, drive, 0.1 * drive))
                    slopes.append(np.where(drive > 0, 1.0, 0.1))
                error = np.zeros_like(rates[-1])
                for unit in range(train_images.n_classes):
                    error[unit] = rates[-1][unit] - (unit == train_images.labels[image])
                losses[-1].append(0.5 * error @ error)
                for layer in reversed(range(len(parameters))):
                    delta = slopes[layer] * error
                    below = rates[layer][: len(delta)]
                    gradients[layer][0] += np.outer(delta, below) / len(batch)
                    gradients[layer][1] += delta / len(batch)
                    error = np.zeros_like(rates[layer])
                    error[: len(delta)] = parameters[layer][0].T @ delta
            step += 1
            for layer, pair in enumerate(gradients):
                for kind, gradient in enumerate(pair):
                    m, v = means[layer][kind], squares[layer][kind]
                    m[...] = adam.beta1 * m + (1 - adam.beta1) * gradient
                    v[...] = adam.beta2 * v + (1 - adam.beta2) * gradient**2
                    corrected = np.sqrt(v / (1 - adam.beta2**step)) + adam.epsilon
                    parameters[layer][kind] -= (
                        adam.learning_rate * m / (1 - adam.beta1**step) / corrected
                    )
    return parameters, [np.mean(epoch) for epoch in losses]


def test_two_epochs_of_back_propagation_loop_by_loop(splits):
    plan = plan_for(splits)
    material = prepare(plan, *splits)
    state, orders = begin_training(plan, material), []
    for state in train(plan, material, state, 2):  # noqa: B020
        if state.batch == 1:
            orders.append(state.orders[0])
    wanted, losses = literal_training(plan, splits[0], orders)
    for layer, (weights, bias) in enumerate(wanted):
        np.testing.assert_allclose(state.learner.network.weights[layer], weights, rtol=1e-9)
        np.testing.assert_allclose(state.learner.network.biases[layer], bias, rtol=1e-9)
    np.testing.assert_allclose(state.history["learning_loss"][1:, 0], losses, rtol=1e-12)


def test_evaluation_image_by_image(splits):
    plan = plan_for(splits, lesson=replace(LESSON, loss="cross_entropy"))
    state = run(plan, splits, 1)
    network, test = state.learner.network, splits[1]
    losses, right = [], 0
    for image, label in zip(test.inputs, test.labels, strict=True):
        rates = image
        for weights, bias in zip(network.weights, network.biases, strict=True):
            drive = weights @ rates[: len(bias)] + bias
            rates = np.maximum(drive, 0.1 * drive)
        scores = np.exp(rates[:3])
        losses.append(-np.log(scores[label] / scores.sum()))
        right += scores.argmax() == label
    loss, accuracy = evaluate(plan, network, test.inputs, one_hot(test.labels, 3))
    np.testing.assert_allclose(loss, [np.mean(losses)], rtol=1e-13)
    assert accuracy[0] == right / len(test.labels) == state.history["test_accuracy"][-1, 0]


# --- images: who is learnt from, who chooses, in which order ---


def test_split_and_order_use_every_image_once(splits):
    plan = plan_for(splits, seeds=(3, 8), train_images=40, validation=0.2)
    material = prepare(plan, *splits)
    assert material.learning.shape == (2, 32)
    assert material.validation.shape == (2, 8)
    for learning, held_out in zip(material.learning, material.validation, strict=True):
        assert len({*learning, *held_out}) == 40
    assert set(material.validation[0]) != set(material.validation[1])
    assert set(material.part[0]) <= set(material.learning[0])
    orders = [
        state.orders.copy()
        for state in train(plan, material, begin_training(plan, material), 2)
        if state.batch == 2
    ]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order, axis=1), material.learning)
    assert not np.array_equal(orders[0], orders[1])


def test_stored_order_and_batches_of_an_epoch(splits):
    plan = plan_for(splits, shuffled=False, validation=0.0, batches_per_epoch=4)
    material = prepare(plan, *splits)
    states = list(train(plan, material, begin_training(plan, material), 2))
    assert len(states) == 2 * batches_of_an_epoch(plan, material) == 8
    for state in states:
        np.testing.assert_array_equal(state.orders[0], np.arange(50))
    # the images that no batch reached are not in the epoch's mean
    seen = run(replace(plan, lesson=replace(LESSON, adam=Adam(1e-300))), splits, 1)
    rows = slice(0, 4 * plan.batch)
    network = seen.learner.network
    loss, _ = evaluate(plan, network, splits[0].inputs[rows], one_hot(splits[0].labels[rows], 3))
    np.testing.assert_allclose(seen.history["learning_loss"][1], loss, rtol=1e-12)
    assert batches_of_an_epoch(replace(plan, batches_per_epoch=None), material) == 8


def test_choice_by_validation_never_sees_the_test_images(splits, rng):
    """Other test images, another test accuracy, the same choice; chosen by test, another."""
    plan = plan_for(splits, validation=0.3, lesson=replace(LESSON, adam=Adam(0.03)))
    other = (splits[0], some_images(rng, 20))
    mislabelled = replace(other[1], labels=(other[1].labels + 1) % 3)
    one, two = run(plan, splits, 6), run(plan, (splits[0], mislabelled), 6)
    assert not np.array_equal(one.history["test_accuracy"], two.history["test_accuracy"])
    np.testing.assert_array_equal(one.chosen_epochs, two.chosen_epochs)
    np.testing.assert_array_equal(one.chosen.weights[0], two.chosen.weights[0])
    accuracy, loss = one.history["validation_accuracy"][:, 0], one.history["validation_loss"][:, 0]
    best = min(range(7), key=lambda epoch: (-accuracy[epoch], loss[epoch]))
    assert one.chosen_epochs[0] == best
    by_test = run(replace(plan, validation=0.0), (splits[0], mislabelled), 6)
    assert np.isnan(by_test.history["validation_accuracy"]).all()
    history = by_test.history["test_accuracy"][:, 0]
    assert history[by_test.chosen_epochs[0]] == history.max()


def test_chosen_networks_are_those_of_their_epochs(splits):
    plan = plan_for(splits, seeds=(1, 2, 3), lesson=replace(LESSON, adam=Adam(0.05)))
    material = prepare(plan, *splits)
    state = begin_training(plan, material)
    kept = {0: state.learner.network}
    for state in train(plan, material, state, 5):  # noqa: B020
        if state.batch == 0:
            kept[state.epoch] = state.learner.network
    for i, epoch in enumerate(state.chosen_epochs):
        for one, other in zip(
            single(state.chosen, plan, i).weights, single(kept[epoch], plan, i).weights, strict=True
        ):
            np.testing.assert_array_equal(one, other)


# --- repetition, stacks, interruption ---

LESSONS = {
    "bp": LESSON,
    "gait": replace(LESSON, rule="gait", pull=Regulariser(0.1)),
    "tp": Lesson("tp", adam=Adam(1e-4), pull=Regulariser(10.0)),
    "itp": replace(LESSON, rule="itp", pull=Regulariser(0.1, every=2)),
    "circuit": replace(LESSON, rule="circuit", pull=Regulariser(0.1), readout="mismatch"),
}


def test_same_seed_same_history_other_seed_another(splits):
    plan = plan_for(splits, lesson=LESSONS["gait"], seeds=(4,))
    one, again = run(plan, splits, 3), run(plan, splits, 3)
    assert_same_bits(one, again)
    other = run(replace(plan, seeds=(5,)), splits, 3)
    assert not np.array_equal(one.history["test_loss"], other.history["test_loss"])


@pytest.mark.parametrize("rule", LESSONS)
def test_a_stack_equals_its_networks_trained_alone(splits, rule):
    """To rounding: eps times what some steps of learning amplify it by."""
    plan = plan_for(splits, lesson=LESSONS[rule], seeds=(1, 2, 3), widths=(6, 6, 5, 4))
    together = run(plan, splits, 2)
    for i, seed in enumerate(plan.seeds):
        alone = run(replace(plan, seeds=(seed,)), splits, 2)
        for name, values in alone.history.items():
            np.testing.assert_allclose(
                together.history[name][:, i], values[:, 0], rtol=1e-7, atol=1e-12, err_msg=name
            )
        for stacked, array in zip(
            together.learner.network.weights, alone.learner.network.weights, strict=True
        ):
            np.testing.assert_allclose(stacked[i], array, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("rule", LESSONS)
@pytest.mark.parametrize("seeds", [(1,), (1, 2)], ids=["one", "stack"])
def test_training_in_pieces_is_training_at_once(splits, rule, seeds):
    """Any state at rest, taken out and gone on from, ends in the same bits."""
    plan = plan_for(splits, lesson=LESSONS[rule], seeds=seeds, checkpoint_every=3, batch=6)
    material = prepare(plan, *splits)
    states = list(train(plan, material, begin_training(plan, material), 2))
    resting = [state for state in states if state.at_rest]
    assert [(state.epoch, state.batch) for state in resting] == [
        (0, 3), (0, 6), (1, 0), (1, 3), (1, 6), (2, 0)
    ]  # fmt: skip
    for state in resting[:-1]:
        for end in train(plan, material, state, 2):  # noqa: B007
            pass
        assert_same_bits(end, states[-1])


# --- failure ---


def broken(state, seed_index=None):
    """The state with a W of layer 2 that has no inverse, in one network of a stack."""
    weights = [array.copy() for array in state.learner.network.weights]
    weights[1][() if seed_index is None else seed_index][...] = 1.0
    network = replace(state.learner.network, weights=tuple(weights))
    return replace(state, learner=replace(state.learner, network=network))


def test_singular_weights_are_named_with_epoch_batch_layer_and_seed(splits):
    plan = plan_for(splits, lesson=LESSONS["tp"], seeds=(11, 12, 13))
    material = prepare(plan, *splits)
    state = broken(begin_training(plan, material), 1)
    with pytest.raises(
        TrainingFailed, match=r"epoch 1, batch 1, seed 12: W of layer 2 .*condition"
    ):
        next(train(plan, material, state, 1))
    one = replace(plan, seeds=(11,))
    material = prepare(one, *splits)
    with pytest.raises(TrainingFailed, match=r"^epoch 1, batch 1: W of layer 2 "):
        next(train(one, material, broken(begin_training(one, material)), 1))


@pytest.mark.parametrize("rule", ["bp", "gait", "tp"])
def test_weights_that_explode_are_found_out(splits, rule):
    """A learning rate beyond all reason: the run ends with words, and no warning on the way."""
    lesson = Lesson(rule, adam=Adam(1e200))
    plan = plan_for(splits, lesson=lesson, seeds=(1, 2))
    with pytest.raises(TrainingFailed, match=r"epoch \d+, .*seed 1: "):
        run(plan, splits, 3)


# --- bad input ---


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"widths": (5, 5, 4)}, "widths begin with 5.* 6 pixels"),
        ({"widths": (6, 6, 2)}, "2 units for 3 classes"),
        ({"batch": 46}, "45 to learn from in batches of 46"),
        ({"train_images": 51}, "51 training images .* has 50"),
        ({"validation": 0.001}, "0 are for validation"),
    ],
)
def test_plans_that_do_not_fit_the_images(splits, options, words):
    with pytest.raises(CircuitError, match=words):
        prepare(plan_for(splits, **options), *splits)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"seeds": (1, 1)}, "not all different"), ({"validation": 1.0}, "outside")],
)
def test_plans_that_are_none(splits, options, words):
    with pytest.raises(CircuitError, match=words):
        plan_for(splits, **options)


# --- what is measured ---


def test_condition_and_orthogonality_in_closed_form(rng):
    """W = Q diag(d) has the singular values d, others in each layer."""
    network = initialise([5, 5, 4, 4], rng)
    scales = (np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.arange(1.0, 5.0), np.array([1.0, 1, 1, 2]))
    weights = tuple(w * d for w, d in zip(network.weights, scales, strict=True))
    network = replace(network, weights=weights)
    found = measures.measure_layers(network, LESSON, rng.random((6, 5)), rng.random((6, 4)))
    np.testing.assert_allclose(found["condition"], [5.0, 4.0, 2.0], rtol=1e-13)
    wanted = [np.sqrt(np.mean((d - 1) ** 2)) for d in scales]
    np.testing.assert_allclose(found["orthogonality_distance"], wanted, rtol=1e-13)


def test_measures_of_layers_stand_in_the_order_of_the_layers(rng):
    """TP in linear units takes W^-1 where BP takes W^T: each layer's update in loops over images,
    its angle and its length, and how far a learned inverse is from one.
    """
    network = initialise([6, 5, 4, 3], rng, activation="linear", init="gaussian")
    inputs, targets = rng.random((7, 6)), rng.random((7, 3))
    lesson = Lesson("tp", inverse=LearnedInverse())
    learner = begin_learning(network, lesson, np.array(3))
    found = measures.measure_layers(network, lesson, inputs, targets, learner.companions)
    feedback = model_of(learner.companions).weights
    carried, exact = ([np.zeros_like(w) for w in network.weights] for _ in range(2))
    for x, t in zip(inputs, targets, strict=True):
        y = [x]
        for W in network.weights:
            y.append(W @ y[-1][: len(W)])
        one = other = t - y[-1]
        for layer in (2, 1, 0):
            W, below = network.weights[layer], y[layer][: len(one)]
            carried[layer] += np.outer(one, below)
            exact[layer] += np.outer(other, below)
            rest = np.zeros(len(y[layer]) - len(one))
            if layer:
                one = np.concatenate([feedback[layer - 1] @ one, rest])
                other = np.concatenate([W.T @ other, rest])
    for layer, (a, b) in enumerate(zip(carried, exact, strict=True)):
        sizes = np.linalg.norm(a), np.linalg.norm(b)
        assert found["alignment"][layer] == pytest.approx(np.sum(a * b) / sizes[0] / sizes[1])
        assert found["alignment_norm"][layer] == pytest.approx(sizes[0] / sizes[1])
        W = network.weights[layer]
        distance = scipy.linalg.norm(W - scipy.linalg.polar(W)[0]) / np.sqrt(len(W))
        assert found["orthogonality_distance"][layer] == pytest.approx(distance)
        assert found["condition"][layer] == pytest.approx(np.linalg.cond(W))
        if layer:
            away = feedback[layer - 1] @ W - np.eye(len(W))
            wanted = scipy.linalg.norm(away) / np.sqrt(len(W))
            assert found["inverse_error"][layer] == pytest.approx(wanted)
    assert np.isnan(found["inverse_error"][0])


@pytest.mark.parametrize("rule", ["gait", "circuit", "itp", "tp"])
def test_alignment_with_back_propagation_knows_the_rules(rng, rule):
    """Eq. 21: with orthogonal weights GAIT-prop and its circuit are BP to first order in gamma; ITP
    and TP are not, nor is anything with Gaussian weights."""
    inputs, targets = rng.random((30, 12)), np.eye(12)[rng.integers(0, 12, 30)]
    lesson = Lesson(rule, feedback_strength=1e-5)
    network = initialise([12] * 4, rng)
    hidden = measures.measure_layers(network, lesson, inputs, targets)["alignment"][:-1]
    assert (hidden > 1 - 1e-4).all() == (rule in {"gait", "circuit"})
    gaussian = initialise([12] * 4, rng, init="gaussian")
    hidden = measures.measure_layers(gaussian, lesson, inputs, targets)["alignment"][:-1]
    assert (hidden < 0.95).all()


def test_alignment_leaves_out_what_does_not_settle(rng):
    """At a kink there may be no equilibrium (docs/derivation.md, section 4)."""
    inputs, targets = rng.random((60, 12)), np.eye(12)[rng.integers(0, 12, 60)]
    network = initialise([12] * 4, rng)
    strong = Lesson("circuit", feedback_strength=0.2, readout="mismatch")
    found = measures.measure_layers(network, strong, inputs, targets)["alignment"]
    assert (found[:-1] > 0.8).all()
    none = measures.alignment_with_back_propagation(
        network, replace(strong, feedback_strength=0.49), inputs[:1], -50 * targets[:1]
    )
    assert np.isnan(none).all() or (np.array(none)[:, 0] > 0.5).all()


def test_history_is_labelled_and_the_table_holds_every_digit(splits, tmp_path):
    plan = plan_for(splits, seeds=(7, 9), measure_every=2)
    state = run(plan, splits, 3)
    data = measures.labelled(state.history, plan.seeds)
    assert dict(data.sizes) == {"seed": 2, "epoch": 4, "layer": 2}
    assert np.isnan(data["alignment"].sel(epoch=[1, 3])).all()
    assert np.isfinite(data["condition"].sel(epoch=[0, 2])).all()
    path = tmp_path / "history.csv"
    measures.write_table(path, data)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    for row in rows:
        there = data.sel(seed=int(row["seed"]), epoch=int(row["epoch"]))
        assert float(row["test_loss"]) == float(there["test_loss"])
        assert row["settled"] == ""
        entry = float(there["condition"].sel(layer=2))
        assert row["condition_2"] == ("" if np.isnan(entry) else repr(entry))


def test_accuracies_at_the_chosen_epoch_the_end_and_the_peak():
    """Three different numbers, read off a table by eye."""
    table = [[0.1, 0.7, 0.9, 0.8], [0.2, 0.6, 0.5, 0.4]]
    data = xr.Dataset(
        {"test_accuracy": (("seed", "epoch"), table), "chosen_epoch": ("seed", [1, 3])}
    )
    found = {name: values.tolist() for name, values in measures.accuracies(data).items()}
    assert found == {"chosen": [0.7, 0.4], "end": [0.8, 0.4], "peak": [0.9, 0.6]}


# --- it learns ---

# rule -> epochs, test accuracy to exceed
COURSES = {"bp": (12, 0.95), "gait": (12, 0.95), "circuit": (12, 0.95), "itp": (30, 0.95)}
COURSES["tp"] = (30, 0.90)


@pytest.fixture(scope="module")
def all_digits():
    """Training and test images, mixed.

    The last 360 digits of scikit-learn, which `images` gives as the test split, are by other
    writers: logistic regression has 90 % of them right, a support vector machine 96 %.
    """
    splits = [images.load("digits", split=split, dtype="float32") for split in ("train", "test")]
    inputs, labels = (
        np.concatenate([getattr(one, name) for one in splits]) for name in ("inputs", "labels")
    )
    mixed = np.random.default_rng(0).permutation(len(labels))
    return tuple(
        replace(splits[0], inputs=inputs[rows], labels=labels[rows])
        for rows in (mixed[:1437], mixed[1437:])
    )


@pytest.mark.learns
@pytest.mark.parametrize("rule", COURSES)
def test_every_rule_learns_digits(rule, all_digits):
    """By preset quick, all of three networks, at the epoch chosen on validation images. ITP and TP
    do not follow the gradient (paper, section 4): they have one hidden layer there, the others
    three, and values that were chosen with other seeds.
    """
    epochs, wanted = COURSES[rule]
    words = ["--rule", rule, "--seeds", "1", "2", "3", "--measure-every", "0"]
    settings = resolved(options().parse_args(words))
    state = run(plan_of(settings, 64), all_digits, epochs)
    reached = state.history["test_accuracy"][state.chosen_epochs, range(3)]
    assert (reached > wanted).all(), reached
