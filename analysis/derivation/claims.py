"""All claims, run and judged; the rows as text, as labelled arrays, as plain values.

Owns the list of claims, their names and where each is derived.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import xarray as xr

from analysis.derivation import equilibria, linear, mismatch, orders, row_adjusted, rules, spectrum
from analysis.derivation.claim import Check, Claim, ClaimPlan, Row
from analysis.derivation.orders import OrderCheck
from circuit.errors import CircuitError

RULES_SECTION = "1-rules"
CLOSED_FORM = "3-the-itp-circuit-in-closed-form"
MISMATCH = "4-the-gait-circuits-mismatch"
ROWS = "8-increments-adjusted-to-the-lengths-of-rows"
SCALES = ("smoke", "full")

ROUNDING = "rounding: eps, N and the norms of the network's own products"
SETTLED = "residual reached, carried through the equations' matrices; rounding"
INTERVAL = "95 % interval (Student t) + (next order at the largest gamma)^2"
AS_AGREEMENT = "control: has to exceed the bound of the claim that it would obey"


def _rule(name: str, equation: str, prediction: str, checks: Callable[[ClaimPlan], Any]) -> Claim:
    return Claim(name, equation, RULES_SECTION, prediction, ROUNDING, checks)


def _order(
    name: str, equation: str, prediction: str, checks: Callable[[ClaimPlan], Any], anchor: str
) -> Claim:
    return Claim(name, equation, anchor, prediction, INTERVAL, checks)


def _control(
    name: str, equation: str, prediction: str, checks: Callable[[ClaimPlan], Any], anchor: str
) -> Claim:
    return Claim(name, equation, anchor, prediction, AS_AGREEMENT, checks, control=True)


CLAIMS: dict[str, Claim] = {
    claim.name: claim
    for claim in (
        _rule("eq8", "Eq. 8", "linear: dW_BP = F'F dW_TP", linear.eq_8),
        _rule(
            "eq8-fixed-points",
            "Eq. 8",
            "linear: dW_BP = 0 where dW_TP = 0, |dW_BP| >= prod s_min^2 |dW_TP| elsewhere",
            linear.eq_8_fixed_points,
        ),
        _rule(
            "eq8-stability",
            "Eq. 8",
            "linear: F'F >= prod s_min^2 > 0; W_l + dW is driven by -dW C (TP), -F'F dW C (BP)",
            linear.eq_8_stability,
        ),
        _order(
            "eq10-order",
            "Eq. 10",
            "|y_L - t* - A W (y - t*)| ~ |y_L - t*|^2",
            orders.eq_10,
            RULES_SECTION,
        ),
        _order("eq11-order", "Eq. 11", "error ~ gamma^1", orders.eq_11, RULES_SECTION),
        _rule("eq15", "Eq. 14, 15", "linear piece: dW_BP = M dW_ITP", rules.eq_15),
        _order(
            "eq14-order", "Eq. 14, 15", "smooth units: error ~ gamma^1", orders.eq_14, RULES_SECTION
        ),
        _rule("eq20", "Eq. 19, 20", "linear piece: dW_BP = N dW_GAIT", rules.eq_20),
        _order(
            "eq19-order", "Eq. 19, 20", "smooth units: error ~ gamma^1", orders.eq_19, RULES_SECTION
        ),
        _rule("eq21", "Eq. 21", "orthogonal W, linear piece: GAIT = BP", rules.eq_21),
        _order(
            "eq21-order", "Eq. 21", "smooth units: error ~ gamma^1", orders.eq_21, RULES_SECTION
        ),
        _rule(
            "linear-rules", "Eq. 12, 17", "linear: GAIT = ITP = TP over gammas", linear.linear_rules
        ),
        _rule(
            "output-increment",
            "section 9",
            "gamma_L only: literal targets; GAIT = BP for orthogonal W",
            rules.output_increment,
        ),
        _order(
            "output-increment-order",
            "section 9",
            "smooth units: error ~ gamma_L^1",
            orders.output_increment,
            RULES_SECTION,
        ),
        _rule(
            "losses",
            "section 5",
            "-<dW, V> = slope of the loss along V (cross-entropy, a user's)",
            rules.losses,
        ),
        _order(
            "losses-order",
            "section 5",
            "smooth units, both losses: error ~ gamma^1",
            orders.losses,
            RULES_SECTION,
        ),
        _rule(
            "auxiliary-units", "Eq. 22", "auxiliary units: no shift, dW = 0", rules.auxiliary_units
        ),
        Claim(
            "closed-form",
            "ITP circuit",
            CLOSED_FORM,
            "delta_l = c_l D^-1 ... D^-1 e, c_l = (r^l - 1)/(r^(L+1) - 1)",
            SETTLED,
            equilibria.closed_form,
        ),
        Claim(
            "closed-form-unequal",
            "ITP circuit",
            CLOSED_FORM,
            "the same, c_l from a dense solve; auxiliary units too",
            SETTLED,
            equilibria.closed_form_unequal,
        ),
        Claim(
            "spectrum",
            "ITP circuit",
            CLOSED_FORM,
            "-1 + 2 sqrt(gamma(1-gamma)) cos(k pi/(L+1)), n-fold",
            "Bauer-Fike: condition of the D products x rounding (absolute)",
            spectrum.spectrum,
        ),
        Claim(
            "spectrum-auxiliary",
            "ITP circuit",
            CLOSED_FORM,
            "union over chains that end in auxiliary units",
            "Bauer-Fike: condition of the D products x rounding (absolute)",
            spectrum.spectrum_with_auxiliary_units,
        ),
        Claim(
            "linear-circuits",
            "both circuits",
            CLOSED_FORM,
            "linear: one velocity, one equilibrium; m_l = (c_l - c_{l-1}) F_l^-1 e",
            SETTLED,
            equilibria.linear_circuits,
        ),
        Claim(
            "mismatch",
            "GAIT circuit",
            MISMATCH,
            "orthogonal W: m_l = r_l W'A m_{l+1} at the equilibrium state",
            SETTLED,
            mismatch.mismatch,
        ),
        _order(
            "mismatch-order",
            "GAIT circuit",
            "smooth units: mismatch = BP, error ~ gamma^1",
            orders.mismatch_of_smooth_units,
            MISMATCH,
        ),
        _order(
            "shift-order",
            "GAIT circuit",
            "shift, layers 2 .. L: error ~ gamma^1",
            orders.shift_read_out,
            MISMATCH,
        ),
        _order(
            "second-order",
            "GAIT circuit",
            "linear piece: mismatch, and shift of layer 1: error ~ gamma^2",
            orders.second_order,
            MISMATCH,
        ),
        Claim(
            "grait-literal",
            "GRAIT-prop",
            ROWS,
            "literal targets of Alg. 1 with epsilon = gamma A^2 N^2, any W",
            ROUNDING,
            row_adjusted.literal,
        ),
        Claim(
            "grait",
            "GRAIT-prop",
            ROWS,
            "orthogonal rows of any lengths, linear piece: GRAIT = BP",
            ROUNDING,
            row_adjusted.back_propagation,
        ),
        Claim(
            "grait-mismatch",
            "GRAIT circuit",
            ROWS,
            "orthogonal rows: m_l = r_l W'A m_{l+1} at the equilibrium state",
            SETTLED,
            row_adjusted.mismatch,
        ),
        Claim(
            "grait-spectrum",
            "GRAIT circuit",
            ROWS,
            "orthogonal rows: minus the squared singular values of M, for any lengths",
            "Weyl: rounding of a symmetric matrix, |W^-1 N^2 - W'| (absolute)",
            row_adjusted.spectrum,
        ),
        _control(
            "not-itp", "section 4", "leaky-ReLU: ITP != BP", rules.itp_is_not_bp, RULES_SECTION
        ),
        _control("not-tp", "section 4", "leaky-ReLU: TP != BP", rules.tp_is_not_bp, RULES_SECTION),
        _control(
            "not-gait",
            "section 5",
            "Gaussian W: GAIT != BP",
            rules.gait_is_not_bp,
            RULES_SECTION,
        ),
        _control(
            "not-one-circuit",
            "both circuits",
            "leaky-ReLU: GAIT's shift is not ITP's",
            equilibria.circuits_differ,
            CLOSED_FORM,
        ),
        _control(
            "not-mismatch",
            "GAIT circuit",
            "Gaussian W: mismatch != BP",
            mismatch.mismatch_is_not_bp,
            MISMATCH,
        ),
        _control(
            "not-grait",
            "GRAIT-prop",
            "Gaussian rows: GRAIT != BP",
            row_adjusted.other_rows_are_not_bp,
            ROWS,
        ),
        _control(
            "not-as-printed",
            "Eq. 16, 21",
            "orthogonal rows of unequal lengths: GAIT != BP",
            row_adjusted.as_printed_is_not_bp,
            ROWS,
        ),
        _control(
            "not-grait-mismatch",
            "both circuits",
            "Gaussian rows (GRAIT), unequal lengths (GAIT): mismatch != BP",
            row_adjusted.mismatch_is_not_bp,
            ROWS,
        ),
        _control(
            "not-grait-spectrum",
            "both circuits",
            "Gaussian rows (GRAIT), unequal lengths (GAIT): other eigenvalues",
            row_adjusted.other_spectra,
            ROWS,
        ),
    )
}


def chosen(names: Sequence[str] | None) -> tuple[Claim, ...]:
    """The claims of these names, in the order of the table; all without names.

    Raises `CircuitError` for a name that is no claim.
    """
    for name in names or ():
        if name not in CLAIMS:
            raise CircuitError(f"claim {name!r} is unknown; choose from {', '.join(CLAIMS)}")
    return tuple(claim for name, claim in CLAIMS.items() if not names or name in names)


def judge(claim: Claim, plan: ClaimPlan) -> Row:
    """Try a claim on all its networks."""
    return Row(claim, tuple(claim.checks(plan)))


def lines(rows: Sequence[Row]) -> str:
    """The table as text: one line a claim, with the check nearest to overturning it."""
    heads = ("claim", "equation", "predicted", "measured", "error", "bound", "decided", "")
    cells = [heads]
    for row in rows:
        worst = row.worst
        cells.append(
            (
                row.claim.name,
                row.claim.equation,
                f"{worst.predicted:.6g}",
                f"{worst.measured:.6g}",
                f"{worst.error:.1e}",
                f"{'> ' if row.claim.control else ''}{worst.bound:.1e}",
                f"{len(row.decided)}/{len(row.checks)}",
                "holds" if row.holds else "FAILS",
            )
        )
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    texts = [
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) for line in cells
    ]
    for i, row in enumerate(rows, 1):
        indent = " " * 4
        texts[i] += (
            f"\n{indent}{row.claim.prediction}\n{indent}{row.claim.bound}; worst: "
            f"{row.worst.subject}, {row.worst.detail}\n{indent}{row.claim.link}"
        )
    return "\n".join(text.rstrip() for text in texts)


def as_dict(row: Row) -> dict[str, Any]:
    """A row for derivation.json."""
    worst = row.worst
    return {
        "claim": row.claim.name,
        "equation": row.claim.equation,
        "prediction": row.claim.prediction,
        "link": row.claim.link,
        "control": row.claim.control,
        "predicted": worst.predicted,
        "measured": worst.measured,
        "error": worst.error,
        "bound": worst.bound,
        "bound_from": row.claim.bound,
        "worst": f"{worst.subject}, {worst.detail}",
        "decided": len(row.decided),
        "checks": len(row.checks),
        "undecided": [f"{one.subject}, {one.detail}" for one in row.checks if not one.decided],
        "holds": row.holds,
    }


def as_dataset(rows: Sequence[Row]) -> xr.Dataset:
    """Every check of every claim (dimension `check`), every claim, and the points of the fits."""
    every: list[tuple[Row, Check]] = [(row, check) for row in rows for check in row.checks]
    fitted = [(row, one) for row, one in every if isinstance(one, OrderCheck)]

    def of_checks(read: Callable[[Check], Any]) -> tuple[str, np.ndarray]:
        return "check", np.array([read(check) for _, check in every])

    data = xr.Dataset(
        {
            "check_claim": ("check", np.array([row.claim.name for row, _ in every])),
            **{
                name: of_checks(attrgetter(f"subject.{name}"))
                for name in ("depth", "width", "units", "init", "gamma", "seed")
            },
            **{
                name: of_checks(attrgetter(name))
                for name in ("predicted", "measured", "error", "bound")
            },
            "detail": of_checks(lambda check: check.detail),
            "decided": of_checks(lambda check: int(check.decided)),
            "holds": ("claim", np.array([int(row.holds) for row in rows])),
            "equation": ("claim", np.array([row.claim.equation for row in rows])),
            "prediction": ("claim", np.array([row.claim.prediction for row in rows])),
            "link": ("claim", np.array([row.claim.link for row in rows])),
        },
        coords={"claim": [row.claim.name for row in rows]},
    )
    data["depth"].attrs["long_name"] = "layers L"
    data["error"].attrs["long_name"] = "relative error (absolute for slopes and eigenvalues)"
    if fitted:
        data["fit_claim"] = ("fit", np.array([row.claim.name for row, _ in fitted]))
        data["fit_units"] = ("fit", np.array([one.subject.units for _, one in fitted]))
        data["fit_init"] = ("fit", np.array([one.subject.init for _, one in fitted]))
        data["fit_depth"] = ("fit", np.array([one.subject.depth for _, one in fitted]))
        data["fit_gamma"] = (("fit", "point"), np.array([one.gammas for _, one in fitted]))
        data["fit_error"] = (("fit", "point"), np.array([one.points for _, one in fitted]))
        data["fit_order"] = ("fit", np.array([one.predicted for _, one in fitted]))
        for column, name in enumerate(("fit_slope", "fit_standard_error", "fit_half_width")):
            data[name] = ("fit", np.array([one.fit[column] for _, one in fitted]))
    return data
