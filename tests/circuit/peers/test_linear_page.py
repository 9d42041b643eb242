"""The page of linear theory: what predictive coding, dual propagation and deep feedback control are
in a linear network, as closed forms with dense matrices."""

from __future__ import annotations

import numpy as np
import pytest

from circuit.peers import dual_propagation, feedback_control, predictive_coding
from circuit.settings.peers.dual_propagation import DualPropagationSettings
from circuit.settings.peers.feedback_control import FeedbackControlSettings
from circuit.settings.peers.predictive_coding import PredictiveCodingSettings
from tests.circuit.peers.cases import (
    AUXILIARY,
    READ,
    RECTANGULAR,
    absolute,
    assert_close,
    case,
    linear_paths,
)

SHAPES = {"rectangular": (RECTANGULAR, None, None), "auxiliary": (AUXILIARY, READ, 3)}


@pytest.fixture(params=SHAPES)
def linear(request: pytest.FixtureRequest, rng: np.random.Generator):
    """A linear network, its forward pass, targets, the output error, and F_1 .. F_L."""
    widths, read, n_outputs = SHAPES[request.param]
    network, activity, targets = case(rng, "linear", widths, read, n_outputs=n_outputs)
    error = targets - activity.rates[-1][:, : targets.shape[1]]
    return network, activity, targets, error, linear_paths(network)


@pytest.mark.parametrize("strength", [30.0, 1.0, 0.1, 1e-3, 1e-8])
def test_errors_of_predictive_coding(strength: float, linear) -> None:
    """eps_l = F_l^T S^-1 e, with S = I / lambda + the sum of F_l F_l^T below the output."""
    network, activity, targets, error, paths = linear
    matrix = np.eye(len(paths[0])) + strength * sum(path @ path.T for path in paths[:-1])
    moved = strength * np.linalg.solve(matrix, error.T)
    wanted = [(path.T @ moved).T for path in paths]
    settings = PredictiveCodingSettings(strength=strength, tolerance=1e-13)
    signal = predictive_coding.signal(network, activity, targets, "quadratic", settings, {}, 0)
    assert signal.rest.converged.all()
    assert_close(absolute(signal), wanted, 1e-12)
    if strength > 0.05:  # it is not back-propagation there
        plain = [strength * (path.T @ error.T).T for path in paths]
        with pytest.raises(AssertionError):
            assert_close(absolute(signal), plain, 1e-2)


@pytest.mark.parametrize("strength", [1.9, 1.0, 0.1, 1e-3, 1e-6])
def test_dyads_of_dual_propagation(strength: float, linear) -> None:
    """D_l = beta / (1 - beta^2 / 4) F_l^T e at any beta below 2, in one sweep."""
    network, activity, targets, error, paths = linear
    settings = DualPropagationSettings(beta=strength, tolerance=1e-13)
    signal = dual_propagation.signal(network, activity, targets, "quadratic", settings, {}, 0)
    factor = strength / (1 - strength**2 / 4)
    assert signal.rest.converged.all()
    assert signal.rest.passes == 1
    assert_close(absolute(signal), [factor * error @ path for path in paths], 1e-13)


@pytest.mark.parametrize("leak", [1e-3, 1.0, 1e8])
@pytest.mark.parametrize("strength", [1.0, 1e-3])
@pytest.mark.parametrize("feedback", ["jacobian", "rates", "random", "given"])
def test_responses_of_deep_feedback_control(
    feedback: str, strength: float, leak: float, linear, rng: np.random.Generator
) -> None:
    """Q_l (J Q + a I)^-1 lambda e, for feedback J^T and for any other."""
    network, activity, targets, error, paths = linear
    settings = FeedbackControlSettings(strength, leak, feedback, 1e-12)
    others = feedback_control.companions(network, settings, np.array(5))
    if feedback == "given":
        shapes = [(n, len(paths[0])) for n in network.widths[1:]]
        others = {"feedback": tuple(rng.standard_normal(shape) for shape in shapes)}
    if feedback in ("jacobian", "rates"):
        matrices = [path.T for path in paths]
    else:
        matrices = [np.array(one) for one in others["feedback"]]
        for layer, matrix in enumerate(matrices, 1):
            matrix[network.n_projecting(layer) :] = 0
    loop = sum(path @ matrix for path, matrix in zip(paths, matrices, strict=True))
    control = np.linalg.solve(loop + leak * np.eye(len(loop)), strength * error.T)
    signal = feedback_control.signal(network, activity, targets, "quadratic", settings, others, 0)
    assert signal.rest.converged.all()
    accuracy = 1e-13 * np.linalg.cond(loop + leak * np.eye(len(loop)))
    assert_close(absolute(signal), [(matrix @ control).T for matrix in matrices], accuracy)
    stable = 6 if np.linalg.eigvals(loop).real.min() > -leak else 0
    assert f"stable in {stable} of 6 settled" in signal.rest.words


@pytest.mark.parametrize("leak", [1e-3, 0.5, 40.0])
def test_control_by_the_jacobian_is_predictive_coding(leak: float, linear) -> None:
    """At lambda = 1 / (1 + a), of errors as long as the controller is to remove."""
    network, activity, targets, _, _ = linear
    strength = 1 / (1 + leak)
    coding = predictive_coding.signal(
        network,
        activity,
        targets,
        "quadratic",
        PredictiveCodingSettings(strength=strength, tolerance=1e-13),
        {},
        0,
    )
    control = feedback_control.signal(
        network, activity, targets, "quadratic", FeedbackControlSettings(1.0, leak), {}, 0
    )
    assert_close(absolute(control), absolute(coding), 1e-11)


def test_control_without_a_leak_is_gauss_newton(linear) -> None:
    """col(Q) = row(J) and a -> 0: the least change of all drives that removes the error."""
    network, activity, targets, error, paths = linear
    signal = feedback_control.signal(
        network, activity, targets, "quadratic", FeedbackControlSettings(1.0, 1e-11), {}, 0
    )
    all_paths = np.concatenate(paths, axis=1)
    least = (np.linalg.pinv(all_paths) @ error.T).T
    wanted = np.split(least, np.cumsum(network.widths[1:-1]), axis=1)
    assert_close(absolute(signal), wanted, 1e-9)
