"""The claims, their literal side and their fits, against what is known without either."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg

from analysis.derivation import (
    both_sides,
    claims,
    equilibria,
    orders,
    random_networks,
    rounding,
    row_adjusted,
    rules,
    spectrum,
)
from analysis.derivation.claim import Check, Claim, ClaimPlan, Row, Subject
from analysis.derivation.literal import Literal
from analysis.derivation.random_networks import case
from circuit.errors import CircuitError
from circuit.feedback import Gain
from circuit.initialisation.networks import initialise

ROOT = Path(__file__).resolve().parents[3]
SUBJECT = Subject(3, 8, "linear", "orthogonal", 0.1, 1)
CONTROLS = {"not-itp", "not-tp", "not-gait", "not-one-circuit", "not-mismatch"}
CONTROLS |= {"not-grait", "not-as-printed", "not-grait-mismatch", "not-grait-spectrum"}


@pytest.fixture
def small(monkeypatch):
    """Fewer shapes than the command tries, which has a test of its own."""
    monkeypatch.setitem(random_networks.SHAPES, "smoke", ((1, 8), (3, 8)))
    monkeypatch.setitem(random_networks.WIDE_SHAPES, "smoke", ((3, 8), (2, 32)))


@pytest.mark.parametrize("name", claims.CLAIMS)
def test_every_claim_holds_on_other_networks(small, name):
    """A seed that the command does not use by default; most of the checks decide something."""
    row = claims.judge(claims.CLAIMS[name], ClaimPlan("smoke", (11,)))
    assert row.holds, (row.worst.subject, row.worst)
    assert len(row.decided) > 0.8 * len(row.checks)
    assert row.claim.control == (name in CONTROLS)
    if row.claim.control:  # not by a hair
        assert min(check.error for check in row.decided) > 0.1
    else:
        assert max(check.bound for check in row.decided) < 0.1


# --- a claim that is wrong is found out ---


LIBRARY_UPDATES, TRANSPOSED, GAIN = (
    rules.library_updates,
    orders._transposed,
    equilibria.printed_gain,
)
CHAIN, F = spectrum.chain, Literal.F
BIDIAGONAL = row_adjusted.bidiagonal


def _without_square(gain, slope, deviation):
    return deviation * slope


@pytest.mark.parametrize(
    ("name", "target", "wrong"),
    [
        ("closed-form", (equilibria, "printed_gain"), lambda *given: 1.0001 * GAIN(*given)),
        (
            "closed-form-unequal",
            (equilibria, "ruin"),
            lambda gammas: 1.0001 * np.ones(len(gammas) + 2),
        ),
        ("spectrum", (spectrum, "chain"), lambda gamma, n: CHAIN(gamma, n + 1)[:n]),
        ("spectrum-auxiliary", (spectrum, "chain_to_auxiliary"), CHAIN),
        ("eq15", (Literal, "M"), Literal.N),
        ("eq20", (Literal, "N"), Literal.M),
        ("eq21", (Gain, "local"), _without_square),
        ("grait", (Gain, "by_rows"), lambda gain, deviation, *given: deviation),
        ("grait-literal", (Gain, "by_rows"), lambda gain, deviation, *given: deviation),
        ("grait-mismatch", (Gain, "by_rows"), lambda gain, deviation, *given: deviation),
        ("grait-spectrum", (Gain, "by_rows"), lambda gain, deviation, *given: deviation),
        ("grait-spectrum", (row_adjusted, "bidiagonal"), lambda found: 1.0001 * BIDIAGONAL(found)),
        ("eq8", (Literal, "F"), lambda literal, layer: F(literal, layer)[::-1]),
        ("losses", (rules, "fourth_power"), lambda y, t: (t - y) ** 3 * 1.0001),
        ("eq21-order", (orders, "_transposed"), lambda *given: 1.001 * TRANSPOSED(*given)),
        ("not-itp", (rules, "library_updates"), lambda found, rule: LIBRARY_UPDATES(found, "bp")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_prediction_or_library_is_found_out(small, monkeypatch, name, target, wrong):
    """One side changed: the claim fails; a control whose rule is BP after all fails too."""
    monkeypatch.setattr(*target, wrong)
    assert not claims.judge(claims.CLAIMS[name], ClaimPlan("smoke", (1,))).holds


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("name", ["losses", "eq21", "auxiliary-units"])
def test_an_update_that_is_wrong_in_one_layer_is_found_out(monkeypatch, name, layer):
    """In the lowest, one between, or the highest of three."""
    monkeypatch.setitem(random_networks.SHAPES, "smoke", ((3, 8),))
    monkeypatch.setitem(random_networks.WIDE_SHAPES, "smoke", ((3, 8),))

    def wrong(found, rule):
        changes = list(LIBRARY_UPDATES(found, rule))
        changes[min(layer, len(changes) - 1)] *= 1.001
        return changes

    for module in (rules, both_sides):
        if hasattr(module, "library_updates"):
            monkeypatch.setattr(module, "library_updates", wrong)
    assert not claims.judge(claims.CLAIMS[name], ClaimPlan("smoke", (1,))).holds


# --- judgement ---


def _row(checks, control=False):
    return Row(
        Claim("name", "Eq. 0", "1-rules", "", "", lambda plan: checks, control), tuple(checks)
    )


def _check(error, bound):
    return Check(SUBJECT, 1.0, 1.0, error, bound)


def test_a_claim_holds_if_every_decided_check_agrees():
    good, bad, vague = _check(1e-3, 1e-2), _check(2e-2, 1e-2), _check(3.0, 5.0)
    assert _row([good, vague]).holds
    assert not _row([good, bad]).holds
    assert _row([good, bad, vague]).worst is bad
    assert not _row([_check(math.nan, 1e-2), good]).holds


def test_a_control_holds_if_every_decided_check_disagrees():
    near, far = _check(1e-3, 1e-2), _check(0.9, 1e-2)
    assert _row([far], control=True).holds
    assert not _row([far, near], control=True).holds
    assert _row([far, near], control=True).worst is near


def test_a_claim_of_which_no_check_decides_anything_does_not_hold():
    """Bounds of 1/2 and more cannot be missed: no evidence, not a success."""
    assert not _row([_check(1e-16, 0.5), _check(0.0, math.inf)]).holds
    assert not _row(
        [equilibria.undecided(case(2, 3, "linear", "orthogonal", 0.1, 1), "none")]
    ).holds


def test_nothing_against_nothing_agrees():
    assert _check(0.0, 0.0).agrees
    assert _check(0.0, 0.0).excess == 0
    assert _check(1e-300, 0.0).excess == math.inf


def test_unknown_claims_are_named():
    with pytest.raises(CircuitError, match="claim 'eq99' is unknown; choose from eq8"):
        claims.chosen(["eq99"])
    assert [claim.name for claim in claims.chosen(["eq21", "eq8"])] == ["eq8", "eq21"]


def test_every_claim_is_derived_where_its_link_says_and_named_there():
    """Anchors are the slugs of headings; the document names each row."""
    text = (ROOT / "docs" / "derivation.md").read_text(encoding="utf-8")
    slugs = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^## (.*)$", text, re.MULTILINE)
    }
    for claim in claims.CLAIMS.values():
        assert claim.anchor in slugs, claim.name
        assert claim.link == f"docs/derivation.md#{claim.anchor}"
        assert f"`{claim.name}`" in text, claim.name


def test_circuits_of_unequal_feedback_are_called_by_their_weakest(small):
    """Beside every circuit of equal strengths stands one of those that its depth and seed draw."""
    called = {}
    for check in equilibria.linear_circuits(ClaimPlan("smoke", (11,))):
        called.setdefault(replace(check.subject, gamma=0.0), set()).add(check.subject.gamma)
    assert {one.depth for one in called} == {2, 3}
    for one, gammas in called.items():
        assert gammas == {1e-3, 0.5, min(random_networks.unequal(one.depth, one.seed))}


# --- fits ---


def _series(rng, order, curves, noise=0.0, gammas=orders.WEAK):
    """C x^order (1 + b gamma), with noise in the logarithm."""
    constants, b = np.exp(rng.normal(size=(curves, 1))), rng.normal(size=(curves, 1))
    errors = constants * gammas**order * (1 + b * gammas)
    return np.tile(gammas, (curves, 1)), errors * np.exp(noise * rng.normal(size=errors.shape))


@pytest.mark.parametrize("order", [0.5, 1, 2, 3])
def test_fit_finds_a_known_order(order, rng):
    found = orders.fit_order(orders.WEAK, *_series(rng, order, 4))
    assert abs(found.slope - order) <= found.half_width + found.truncation < 1e-4


def test_interval_covers_the_order_as_often_as_it_says(rng):
    """Noise of 1 %, where Student's t is exact: 95 of 100, within 4 standard errors."""
    hits = 0
    for _ in range(600):
        found = orders.fit_order(orders.WEAK, *_series(rng, 1, 2, noise=0.01))
        hits += abs(found.slope - 1) <= found.half_width
    assert abs(hits / 600 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 600)


def test_standard_error_is_that_of_scipy(rng):
    """One curve whose next order vanishes at the regressor's own residual: SciPy's OLS by QR."""
    gammas = orders.WEAK
    sizes, errors = _series(rng, 1, 1, noise=0.05)
    found = orders.fit_order(gammas, sizes, errors)
    # Frisch, Waugh and Lovell: regress on what constant and next order leave of log gamma
    nuisance = np.stack([np.ones(len(gammas)), gammas], axis=1)
    q, _ = scipy.linalg.qr(nuisance, mode="economic")
    x, y = (v - q @ (q.T @ v) for v in (np.log(gammas), np.log(errors[0])))
    slope = x @ y / (x @ x)
    left = y - slope * x
    assert found.slope == pytest.approx(slope, rel=1e-9)
    wanted = math.sqrt(left @ left / (len(gammas) - 3) / (x @ x))
    assert found.standard_error == pytest.approx(wanted, rel=1e-9)


def test_every_hidden_layer_is_in_a_fit():
    """Three of four layers, each with an error of its own."""
    points = orders._from_bp(case(4, 8, "asinh", "orthogonal", 1e-3, 1), "gait")
    assert [gamma for gamma, _ in points] == [1e-3] * 3
    assert len({error for _, error in points}) == 3
    assert all(0 < error < 0.1 for _, error in points)


def test_fit_does_not_hide_a_wrong_order(rng):
    found = orders.fit_order(orders.WEAK, *_series(rng, 1.01, 4))
    assert abs(found.slope - 1) > found.half_width + found.truncation


# --- the literal side ---


def test_literal_matrices_are_the_printed_products():
    """M and N of Eqs. 15 and 20 and F'F, multiplied out in float64, entry by entry."""
    network = initialise([4] * 4, np.random.default_rng(1), init="gaussian")
    literal = Literal(network.weights, "leaky_relu", 50)
    _, slopes = literal.forward(np.random.default_rng(2).standard_normal(4))
    A = [np.diag(slope.astype(float)) for slope in slopes]
    W = [None, *network.weights]
    inv = np.linalg.inv
    column = literal.exactly(np.arange(1.0, 5.0))
    down = A[1] @ W[2].T @ A[2] @ W[3].T @ A[3]
    M = down @ A[3] @ W[3] @ A[2] @ W[2] @ inv(A[1])
    N = down @ inv(A[3]) @ W[3] @ inv(A[2]) @ W[2] @ inv(A[1])
    FF = (W[3] @ W[2]).T @ W[3] @ W[2]
    for wanted, factors in (
        (M, literal.M(1, slopes)),
        (N, literal.N(1, slopes)),
        (FF, literal.F_transposed_F(1)),
    ):
        got = literal.times(factors, column)
        np.testing.assert_allclose(got.astype(float), wanted @ np.arange(1.0, 5.0), rtol=1e-12)
        back = literal.inverse_times(factors, got)
        assert np.max(np.abs(back - column)) < 1e-40


def test_wide_and_narrow_networks_are_solved_alike():
    """By refinement and by the explicit inverse, to all digits but a few."""
    weights = (np.random.default_rng(3).standard_normal((20, 20)),)
    literal = Literal(weights, "linear", 60)
    right = literal.exactly(np.random.default_rng(4).standard_normal(20))
    refined = literal.solve(1, right)
    explicit = literal._inverted(literal.W(1)) @ right
    assert np.max(np.abs(refined - explicit)) < 1e-50
    assert np.max(np.abs(literal.W(1) @ refined - right)) < 1e-50


@pytest.mark.parametrize("gamma", [1e-6, 0.01, 0.5])
def test_gains_from_the_formula_and_from_the_solve(gamma):
    """Also 1 - sum of all differences: c_{L+1} = 1."""
    for depth in (1, 4, 30):
        c = equilibria.ruin((gamma,) * depth)
        assert c[0] == 0
        assert c[-1] == 1
        for layer in range(1, depth + 1):
            wanted = equilibria.printed_gain(gamma, layer, depth)
            assert c[layer] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("gamma", [0.01, 0.3, 0.5, 0.8, 0.99])
def test_chain_that_ends_in_an_auxiliary_unit(gamma):
    """The eigenvalues of the scalar chain itself, by LAPACK."""
    for length in (2, 5, 8):
        chain = -np.eye(length) + np.diag([gamma] * (length - 1), 1)
        chain += np.diag([*[1 - gamma] * (length - 2), 1.0], -1)
        wanted = np.sort(np.linalg.eigvals(chain).real)
        got = np.sort(spectrum.chain_to_auxiliary(gamma, length))
        assert np.all(got < 0)
        np.testing.assert_allclose(got, wanted, atol=1e-10)


def test_accumulated_errors_bound_a_real_perturbation(rng):
    """Perturb every step of a recursion by what is said: the end is within the bound."""
    maps = [rng.standard_normal((5, 5)) for _ in range(6)]
    local = [10.0 ** -rng.uniform(3, 6) for _ in maps]
    bounds = rounding.accumulated(maps, local)
    x, off = rng.standard_normal(5), np.zeros(5)
    for matrix, size, bound in zip(maps, local, bounds, strict=True):
        x, kick = matrix @ x, rng.standard_normal(5)
        off = matrix @ off + size * kick / np.linalg.norm(kick)
        assert 0.05 * bound < np.linalg.norm(off) <= (1 + 1e-12) * bound
