"""The drawing of the circuit on the front page: who sends what where.

    python docs/drawings/circuit.py

writes docs/images/circuit.svg. It stands on a light ground of its own, so that it reads on light
pages and on dark ones.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "images" / "circuit.svg"
WIDTH, HEIGHT, TOP = 830, 306, 118  # pixels; TOP is the height at which layers stand
UP, DOWN, INK, SOFT = "#0b5394", "#b34700", "#1f2328", "#57606a"
LAYERS = (("image", 75), ("layer 1", 245), ("layer 2", 415), ("output", 585), ("target", 755))
SHIFTS = (
    (245, "&#947;³", 5),
    (415, "&#947;²", 14),
    (585, "&#947;", 40),
)  # of three layers, not to scale
WORDS = (
    "A picture of a circuit. An image is clamped on the left. Layer 1, layer 2 and the output send "
    "rates to the right through weights W, with strength 1 - gamma. Each sends its rates, or its "
    "deviations, to the layer on its left through W inverse, with the weak strength gamma. The "
    "target nudges the output with strength gamma. When all has settled, each layer has shifted: "
    "the output by about gamma, layer 2 by gamma squared, layer 1 by gamma cubed. A synapse learns "
    "from the shift of its own cell times the rate of the cell below."
)


def text(x: float, y: float, words: str, size: int = 15, colour: str = INK, more: str = "") -> str:
    """Words around a point."""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}" text-anchor="middle"{more}>'
        f"{words}</text>"
    )


def arrow(x1: float, x2: float, y: float, colour: str, width: float, dashes: str = "") -> str:
    """A horizontal arrow."""
    name = "up" if colour == UP else "down"
    return (
        f'<path d="M{x1} {y}H{x2}" stroke="{colour}" stroke-width="{width}" '
        f'stroke-dasharray="{dashes or "none"}" marker-end="url(#{name})"/>'
    )


def head(name: str, colour: str) -> str:
    """The head of arrows of one colour."""
    return (
        f'<marker id="{name}" markerUnits="userSpaceOnUse" markerWidth="12" markerHeight="12" '
        f'refX="9" refY="6" orient="auto"><path d="M1 1L11 6L1 11z" fill="{colour}"/></marker>'
    )


def layer(name: str, x: int) -> list[str]:
    """A column of three cells with its name; image and target are given, and are squares."""
    given = name in {"image", "target"}
    found = [text(x, TOP - 82, name, 16, more=' font-weight="600"')]
    found.append(
        f'<rect x="{x - 27}" y="{TOP - 66}" width="54" height="132" rx="{4 if given else 27}" '
        f'fill="{"#eaeef2" if given else "#ffffff"}" stroke="{SOFT}" stroke-width="1.2"/>'
    )
    for y in (TOP - 42, TOP, TOP + 42):
        shape = (
            f'<rect x="{x - 12}" y="{y - 12}" width="24" height="24"'
            if given
            else f'<circle cx="{x}" cy="{y}" r="14"'
        )
        found.append(f'{shape} fill="#d0d7de" stroke="{SOFT}"/>')
    return found


def drawing() -> str:
    """The whole picture."""
    parts = [part for one in LAYERS for part in layer(*one)]
    for left, right in pairwise(LAYERS[:-1]):
        middle = (left[1] + right[1]) / 2
        parts += [
            arrow(left[1] + 31, right[1] - 31, TOP - 26, UP, 5),
            text(middle, TOP - 40, "W · rates", 14, UP),
        ]
    for left, right in pairwise(LAYERS[1:]):
        middle, last = (left[1] + right[1]) / 2, right[0] == "target"
        parts += [
            arrow(right[1] - 31, left[1] + 31, TOP + 26, DOWN, 2, "5 4"),
            text(middle, TOP + 46, "nudge, &#947;" if last else "&#947; · W⁻¹", 14, DOWN),
        ]
    parts.append(text(75, TOP + 88, "clamped", 14, SOFT))
    for x, words, size in SHIFTS:
        parts.append(
            f'<rect x="{x - size}" y="{TOP + 78}" width="{2 * size}" height="12" '
            f'rx="2" fill="{DOWN}"/>'
        )
        parts.append(text(x, TOP + 109, f"shift ∝ {words}", 14, DOWN))
    said = (
        "Once settled, every layer has shifted a little. A synapse learns from the shift of its",
        "own cell, the slope there and the rate of the cell below. All of them are local.",
    )
    parts += [text(415, TOP + 146 + 23 * line, words, 16) for line, words in enumerate(said)]
    ground = f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="#f6f8fa"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-labelledby="t" '
        'font-family="system-ui, Helvetica, Arial, sans-serif">\n'
        f'<title id="t">{WORDS}</title>\n<defs>{head("up", UP)}{head("down", DOWN)}</defs>\n'
        f'{ground}\n<g fill="none">\n' + "\n".join(parts) + "\n</g>\n</svg>\n"
    )


if __name__ == "__main__":
    TARGET.write_text(drawing(), encoding="utf-8")
