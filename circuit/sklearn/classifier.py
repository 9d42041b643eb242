"""A network of circuits as a scikit-learn classifier.

Owns the way from rows and labels to batches of images and targets, and the names by which
scikit-learn asks.

The layers are `hidden` and the outputs. Where shifts come down through an exact inverse, the output
layer is as wide as the last hidden one, and its units beyond the classes are auxiliary; layer 1
reads all features. Where they come down otherwise, each layer reads all units below.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from circuit.checks.given import is_whole, require_choice, require_count, shown
from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.errors import CircuitError
from circuit.initialisation.weights import INITIALISERS
from circuit.labels.targets import one_hot
from circuit.learned_inverse.companions import LearnedInverse, PseudoInverse
from circuit.learning.lesson import Lesson
from circuit.learning.regulariser import Regulariser
from circuit.learning.step import Learner, begin_learning, learn
from circuit.network import Network, forward
from circuit.outcome import Equilibrium
from circuit.peers.table import TABLE
from circuit.settings.learned_inverse import EXACT, LEARNED, PSEUDO
from circuit.settings.learning import Adam
from circuit.units.table import activations

INVERSES: dict[str, Callable[[], Any] | None] = {
    EXACT: None,
    PSEUDO: PseudoInverse,
    LEARNED: LearnedInverse,
}


class CircuitClassifier(ClassifierMixin, BaseEstimator):
    """A layered network that learns by a rule, or by the equilibrium of a circuit.

    Parameters
    ----------
    rule : gait, grait, itp, tp, bp, or circuit, which settles for every batch
    hidden : widths of the hidden layers
        For an exact inverse they do not increase, and the last is at least the number of classes.
    feedback_strength : gamma
    pathway, readout : of the circuit
    activation : of the hidden units; outputs are linear
    init : "orthogonal" or "gaussian"
    inverse : "exact", "pseudo-inverse" or "learned"
    loss : "cross_entropy", whose probabilities are a softmax, or "quadratic"
    orthogonality : lambda of the pull towards orthogonal weights
    learning_rate : of Adam
    batch_size : rows in a step, or all where there are fewer
    epochs : passes over the rows that `fit` makes; `partial_fit` makes one
    random_state : of weights and of the order of rows

    Attributes
    ----------
    classes_ : (n_classes,)
    network_ : the `Network`
    learner_ : the same with what Adam remembers
    loss_curve_ : mean loss of each epoch
    n_features_in_, feature_names_in_ : as in all of scikit-learn

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from circuit.sklearn import CircuitClassifier
    >>> images, labels = load_digits(return_X_y=True)
    >>> model = CircuitClassifier("circuit", (16,), learning_rate=0.02, epochs=5, random_state=0)
    >>> model = model.fit(images[:500] / 16, labels[:500])
    >>> model.score(images[500:700] / 16, labels[500:700]) > 0.7
    True
    """

    def __init__(
        self,
        rule: str = "gait",
        hidden: tuple[int, ...] = (64,),
        feedback_strength: float = 1e-3,
        *,
        pathway: str = "gait",
        readout: str = "shift",
        activation: str = "leaky_relu",
        init: str = "orthogonal",
        inverse: str = EXACT,
        loss: str = "cross_entropy",
        orthogonality: float = 0.0,
        learning_rate: float = 2e-3,
        batch_size: int = 32,
        epochs: int = 30,
        random_state: Any = None,
    ) -> None:
        self.rule = rule
        self.hidden = hidden
        self.feedback_strength = feedback_strength
        self.pathway = pathway
        self.readout = readout
        self.activation = activation
        self.init = init
        self.inverse = inverse
        self.loss = loss
        self.orthogonality = orthogonality
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> CircuitClassifier:
        """Learn from rows `(n, features)` and their labels `(n,)`, from the beginning.

        Raises `ValueError`, of which `CircuitError` is one, for what cannot be learnt from.
        """
        require_count("epochs", self.epochs, 1)
        self._forget()
        X, y = self._rows_and_labels(X, y)
        self._begin(unique_labels(y))
        for _ in range(self.epochs):
            self._epoch(X, y)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> CircuitClassifier:
        """Go on for one pass over these rows.

        Parameters
        ----------
        classes : all that will ever come; needed in the first call
        """
        first = not hasattr(self, "learner_")
        X, y = self._rows_and_labels(X, y, reset=first)
        if first:
            if classes is None:
                raise CircuitError("classes = None: give all classes in the first partial_fit")
            self._begin(unique_labels(classes))
        elif classes is not None and not np.array_equal(unique_labels(classes), self.classes_):
            raise CircuitError(
                f"classes = {shown(classes)} are not those of the first partial_fit, "
                f"{shown(self.classes_)}; give the same, or none"
            )
        self._epoch(X, y)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class, (n, n_classes): softmax of the outputs.

        With quadratic loss the outputs themselves stand for probabilities: negative ones count as
        0, and the sum is made 1.
        """
        outputs = self._outputs(X)
        if self.loss == "quadratic":
            outputs = np.maximum(outputs, 0)
            total = outputs.sum(axis=1, keepdims=True)
            equal = np.full_like(outputs, 1 / outputs.shape[1])
            return np.where(total > 0, outputs / np.where(total > 0, total, 1), equal)
        weights = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """The class of the largest output, (n,)."""
        best = self._outputs(X).argmax(axis=1)
        return self.classes_[best]

    def settle(self, X: Any, y: Any, **options: Any) -> Equilibrium:
        """The equilibrium of the circuit around the network that was learnt, for these rows with
        their labels as targets, its feedback going through `inverse`; `options` as of
        `circuit.equilibrium.settle`.
        """
        check_is_fitted(self)
        X, y = self._rows_and_labels(X, y, reset=False)
        network, back = self.network_, self._lesson().inverse
        through: dict[str, Any] = {}
        if back is not None:
            model = back.model(network, self.learner_.companions)
            through = {"feedback": model, "corrected": back.corrected}
        circuit = build_circuit(network, self.pathway, self.feedback_strength, **through)
        return settle(begin(circuit, X, one_hot(y, self.classes_), self.loss), **options)

    @property
    def network_(self) -> Network:
        """The network, as it is now."""
        check_is_fitted(self)
        return self.learner_.network

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "learner_")

    def _rows_and_labels(self, X: Any, y: Any, *, reset: bool = True) -> tuple[Any, Any]:
        X, y = validate_data(self, X, y, dtype=np.float64, reset=reset)
        check_classification_targets(y)
        return X, y

    def _forget(self) -> None:
        for name in ("learner_", "loss_curve_", "classes_"):
            if hasattr(self, name):
                delattr(self, name)

    def _begin(self, classes: np.ndarray) -> None:
        """A network that has learnt nothing."""
        require_count("batch size", self.batch_size, 1)
        self._random = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        lesson, network = self._lesson(), self._new_network(len(classes))
        keys = np.asarray(self._random.integers(2**62))
        self.learner_: Learner = begin_learning(network, lesson, keys)
        self.classes_, losses = classes, list[float]()
        self.loss_curve_ = losses

    def _lesson(self) -> Lesson:
        require_choice("inverse", self.inverse, INVERSES)
        made = INVERSES[self.inverse]
        return Lesson(
            rule=self.rule,
            feedback_strength=self.feedback_strength,
            pathway=self.pathway,
            readout=self.readout,
            loss=self.loss,
            adam=Adam(learning_rate=self.learning_rate),
            pull=None if self.orthogonality == 0 else Regulariser(strength=self.orthogonality),
            inverse=None if made is None else made(),
        )

    def _new_network(self, n_classes: int) -> Network:
        hidden = tuple(np.atleast_1d(np.asarray(self.hidden, dtype=object)))
        if not hidden or not all(is_whole(width) and width >= 1 for width in hidden):
            raise CircuitError(f"hidden = {shown(self.hidden)}: give whole numbers of 1 or more")
        require_choice("init", self.init, INITIALISERS)
        exact = self.inverse == EXACT and TABLE[self.rule].through_inverse
        widths = (self.n_features_in_, *hidden, hidden[-1] if exact else n_classes)
        if exact and not all(low >= high for low, high in pairwise(hidden)):
            raise CircuitError(
                f"hidden = {self.hidden} increases, and an exact inverse needs widths that do not; "
                "give others, or inverse='pseudo-inverse'"
            )
        if exact and hidden[-1] < n_classes:
            raise CircuitError(
                f"hidden = {self.hidden}: {n_classes} classes do not fit into an output layer of "
                f"{hidden[-1]}, which an exact inverse needs to be as wide as the layer below; "
                "give wider layers, or inverse='pseudo-inverse'"
            )
        read = (widths[0], *(widths[2:] if exact else widths[1:-1]))
        draw = INITIALISERS[self.init]
        return Network(
            tuple(draw(up, self._random, down) for up, down in zip(widths[1:], read, strict=True)),
            tuple(np.zeros(width) for width in widths[1:]),
            activations([*[self.activation] * len(hidden), "linear"], len(hidden) + 1),
            n_inputs=widths[0],
            n_outputs=n_classes,
        )

    def _epoch(self, X: np.ndarray, y: np.ndarray) -> None:
        """One pass over the rows, in an order of its own. Warns where no circuit settled."""
        lesson, targets = self._lesson(), one_hot(y, self.classes_)
        order, losses, settled = self._random.permutation(len(X)), [], 0.0
        for start in range(0, len(X), self.batch_size):
            rows = order[start : start + self.batch_size]
            self.learner_, step = learn(self.learner_, lesson, X[rows], targets[rows])
            losses.append(float(step.loss) * len(rows))
            settled += 1.0 if step.settled is None else float(step.settled)
        if self.rule == "circuit" and settled == 0:
            warnings.warn(
                f"the circuit of none of {len(X)} rows settled, and nothing was learnt; use a "
                f"weaker feedback_strength than {self.feedback_strength}",
                ConvergenceWarning,
                stacklevel=3,
            )
        self.loss_curve_.append(sum(losses) / len(X))

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return forward(self.network_, X).rates[-1][:, : len(self.classes_)]
