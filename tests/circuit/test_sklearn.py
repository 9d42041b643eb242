"""The circuit as a scikit-learn classifier, held against scikit-learn's own suite."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils import shuffle
from sklearn.utils.estimator_checks import parametrize_with_checks

from circuit import CircuitError, begin, build_circuit, settle
from circuit.sklearn import CircuitClassifier

RULES = ["gait", "grait", "itp", "tp", "bp", "circuit"]


@parametrize_with_checks([CircuitClassifier(), CircuitClassifier("circuit", (12, 8))])
def test_all_of_scikit_learn_s_checks(estimator, check):
    check(estimator)


def digits(count=500):
    data = load_digits()
    return data.data[:count] / 16, data.target[:count]


@pytest.mark.parametrize("rule", RULES)
def test_one_class_alone_has_no_cross_entropy_to_learn_by(rule):
    """Its probability is 1 before anything is learnt; a quadratic loss draws its output to 1."""
    X, y = digits(60)[0], np.full(60, "owl")
    for begin_ in ("fit", "partial_fit"):
        more = {"classes": ["owl"]} if begin_ == "partial_fit" else {}
        with pytest.raises(CircuitError, match=r"cross_entropy of 1 output.* use loss quadratic"):
            getattr(CircuitClassifier(rule), begin_)(X, y, **more)
    model = CircuitClassifier(rule, (16,), loss="quadratic", random_state=0).fit(X, y)
    assert model.loss_curve_[-1] < 0.1 * model.loss_curve_[0]
    assert set(model.predict(X)) == {"owl"}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_learns_digits(rule):
    X, y = shuffle(*digits(700), random_state=0)
    model = CircuitClassifier(rule, (32, 24), 0.01, epochs=8, random_state=1, orthogonality=0.1)
    score = model.fit(X[:500], y[:500]).score(X[500:], y[500:])
    assert score > (0.5 if rule in {"itp", "tp"} else 0.8), score  # which the paper finds too
    assert model.loss_curve_[-1] < (0.9 if rule in {"itp", "tp"} else 0.5) * model.loss_curve_[0]


@pytest.mark.parametrize(
    "options",
    [
        {"inverse": "pseudo-inverse", "hidden": (20, 30)},
        {"inverse": "learned", "hidden": (20, 30)},
        {"rule": "bp", "hidden": (20, 30, 5)},
        {"loss": "quadratic"},
        {"activation": "asinh", "init": "gaussian", "hidden": 40},
        {"rule": "circuit", "pathway": "itp", "readout": "mismatch", "orthogonality": 0.1},
    ],
    ids=str,
)
def test_the_other_ways_learn_too(options):
    X, y = digits()
    chosen = {"hidden": (30,), "epochs": 10, "random_state": 0} | options
    model = CircuitClassifier(**chosen).fit(X, y)
    assert model.score(X, y) > 0.8
    probabilities = model.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert np.all(probabilities >= 0)
    np.testing.assert_array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(X))


def test_classes_keep_their_names_and_columns_theirs():
    X, y = digits()
    names = np.array([f"digit {label}" for label in range(10)])
    frame = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    model = CircuitClassifier(epochs=5, random_state=0).fit(frame, names[y])
    plain = CircuitClassifier(epochs=5, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.predict(frame), names[plain.predict(X)])
    assert model.n_features_in_ == 64
    assert list(model.feature_names_in_) == list(frame.columns)


def test_layer_one_reads_every_feature():
    """Of a narrow network too, where the first features tell nothing."""
    X, y = digits()
    hidden_behind = np.hstack([np.zeros((len(X), 100)), X])
    model = CircuitClassifier(hidden=(24,), epochs=10, random_state=0).fit(hidden_behind, y)
    assert model.network_.weights[0].shape == (24, 164)
    assert model.score(hidden_behind, y) > 0.8


def test_partial_fit_is_fit_pass_by_pass():
    X, y = digits()
    whole = CircuitClassifier(epochs=4, random_state=3).fit(X, y)
    parts = CircuitClassifier(random_state=3)
    for _ in range(4):
        parts.partial_fit(X, y, classes=np.arange(10))
    for one, other in zip(whole.network_.weights, parts.network_.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert parts.loss_curve_ == whole.loss_curve_
    with pytest.raises(CircuitError, match="are not those of the first"):
        parts.partial_fit(X, y, classes=np.arange(9))
    with pytest.raises(CircuitError, match="give all classes in the first"):
        CircuitClassifier().partial_fit(X, y)


def test_a_seed_decides_everything():
    X, y = digits(200)
    one, two, other = (
        CircuitClassifier(epochs=2, random_state=seed).fit(X, y) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    assert not np.array_equal(one.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rule": "magic"}, "rule 'magic' is unknown; choose from"),
        ({"hidden": ()}, r"hidden = \(\): give whole numbers"),
        ({"hidden": (12.5,)}, "give whole numbers of 1 or more"),
        ({"hidden": (20, 30)}, "increases, .*pseudo-inverse"),
        ({"hidden": (9,)}, "10 classes do not fit into an output layer of 9"),
        ({"init": "zeros"}, "init 'zeros' is unknown"),
        ({"activation": "relu"}, "activation 'relu' is unknown"),
        ({"feedback_strength": 2}, "feedback strength gamma = 2 is outside"),
        ({"epochs": 0}, "epochs = 0 is not a count"),
        ({"batch_size": 0.5}, "batch size = 0.5 is not a count"),
        ({"loss": "hinge"}, "loss 'hinge' is unknown"),
    ],
    ids=str,
)
def test_bad_parameters_are_one_line_at_fit(options, words):
    model = CircuitClassifier(**options)
    with pytest.raises(CircuitError, match=words) as refusal:
        model.fit(*digits(100))
    assert "\n" not in str(refusal.value)
    with pytest.raises(NotFittedError):
        model.predict(digits(5)[0])


def test_pipelines_searches_and_joblib(tmp_path):
    X, y = digits(300)
    pipeline = make_pipeline(MinMaxScaler(), CircuitClassifier(epochs=12, random_state=0))
    grid = {"circuitclassifier__rule": ["gait", "bp"], "circuitclassifier__hidden": [(16,), (32,)]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, y)
    assert search.best_score_ > 0.7
    alone = cross_val_score(clone(search.best_estimator_), X, y, cv=2)
    assert alone.mean() == pytest.approx(search.best_score_, abs=1e-12)
    joblib.dump(search, tmp_path / "search.joblib")
    for back in (joblib.load(tmp_path / "search.joblib"), pickle.loads(pickle.dumps(search))):
        np.testing.assert_array_equal(back.predict_proba(X), search.predict_proba(X))
    assert "CircuitClassifier" in pipeline._repr_html_()


def test_the_circuit_around_what_was_learnt():
    X, y = digits(300)
    model = CircuitClassifier(hidden=(24,), feedback_strength=0.01, epochs=5, random_state=0)
    record = model.fit(StandardScaler().fit_transform(X), y).settle(X[:8], y[:8])
    circuit = build_circuit(model.network_, "gait", 0.01)
    wanted = settle(begin(circuit, X[:8], np.eye(10)[y[:8]], "cross_entropy"))
    for one, other in zip(record.shifts.values, wanted.shifts.values, strict=True):
        np.testing.assert_array_equal(one, other)
    assert record.report().agrees


@pytest.mark.parametrize("inverse", ["pseudo-inverse", "learned"])
@pytest.mark.parametrize("hidden", [(16,), (16, 10)], ids=["oblong", "square"])
def test_its_feedback_goes_through_what_was_learnt_with(inverse, hidden):
    """Also where weights are square and have an exact inverse, which is another."""
    X, y = digits(200)
    model = CircuitClassifier(
        rule="circuit",
        hidden=hidden,
        feedback_strength=0.01,
        inverse=inverse,
        epochs=2,
        learning_rate=0.01,
        random_state=0,
    ).fit(X, y)
    if inverse == "learned":
        back = model.learner_.companions["feedback_weights"]
    else:
        back = [np.linalg.pinv(W) for W in model.network_.weights[1:]]
    found = model.settle(X[:3], y[:3])
    circuit = build_circuit(model.network_, "gait", 0.01, feedback=back)
    wanted = settle(begin(circuit, X[:3], np.eye(10)[y[:3]], "cross_entropy"))
    for one, other in zip(found.shifts.values, wanted.shifts.values, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    exact = np.linalg.pinv(model.network_.weights[-1])
    assert np.allclose(back[-1], exact) == (inverse != "learned")


@pytest.mark.parametrize("feedback_strength", [0.99, 0.01])
def test_a_circuit_that_never_settles_has_learnt_nothing_and_says_so(feedback_strength, recwarn):
    """Of strong feedback weights stay as they were drawn, of weak one they move."""
    X, y = digits(10)
    model = CircuitClassifier(
        rule="circuit",
        hidden=(10, 10),
        feedback_strength=feedback_strength,
        epochs=1,
        batch_size=5,
        random_state=0,
    )
    moved = model.fit(X, y).network_.weights
    drawn = clone(model).set_params(rule="gait", learning_rate=1e-300).fit(X, y).network_.weights
    told = [one for one in recwarn if issubclass(one.category, ConvergenceWarning)]
    assert all(map(np.array_equal, moved, drawn)) == (feedback_strength == 0.99)
    assert len(told) == (feedback_strength == 0.99)
