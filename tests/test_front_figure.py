"""The figure on the site's front page, in a browser without a window: it draws what was measured.

Needs Playwright (extra `browser`) and a Chromium or Chrome on the PATH.
"""

from __future__ import annotations

import re
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS, SITE = ROOT / "docs", ROOT / "site"
FILES = ("strength.css", "strength.js", "strength_cells.js")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
THEMES = {"light": "color: #222; background: #fff", "dark": "color: #ced6dd; background: #14181e"}
READ = "nodes => nodes.map(one => [one.dataset.value, one.getAttribute('cy')].map(Number))"
TICKS = "nodes => nodes.map(one => [one.dataset.value, one.getAttribute('y') - 4].map(Number))"
SMALL = """() => [...document.querySelectorAll('#strength *')]
    .filter(one => one.textContent.trim() && one.getClientRects().length)
    .map(one => parseFloat(getComputedStyle(one).fontSize)).filter(size => size < 11)"""
OUTSIDE = """() => [...document.querySelectorAll('#strength svg text')].filter(one => {
    const box = one.getBoundingClientRect(), own = one.ownerSVGElement.getBoundingClientRect();
    return box.left < own.left - 1 || box.right > own.right + 1;
}).map(one => one.textContent)"""

FINISHED = """() => /finished|did not match|found/i.test(
    document.querySelector('#search-results').innerText)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium or Chrome is on the PATH")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    """What was measured."""
    return runpy.run_path(str(DOCS / "drawings" / "strength_cells.py"))["read"]()


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """A page that may say nothing on its console, and fetch nothing."""
    said: list[str] = []
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda one: one.url.startswith("file:") or said.append(one.url))
    yield opened
    opened.close()
    assert said == []


def alone(folder: Path, theme: str = "light", cells: str | None = None) -> str:
    """The address of a page that holds the figure of docs/index.md and nothing else."""
    (block,) = re.findall(
        r"^```{raw} html\n(.*?)^```", (DOCS / "index.md").read_text("utf-8"), re.M | re.S
    )
    (folder / "_static").mkdir()
    for name in FILES:
        shutil.copy(DOCS / "_static" / name, folder / "_static" / name)
    if cells is not None:
        (folder / "_static" / FILES[2]).write_text(cells, encoding="utf-8")
    (folder / "index.html").write_text(
        f'<!doctype html><html lang="en" data-theme="{theme}"><meta charset="utf-8">'
        f'<title>-</title><body style="{THEMES[theme]}">{block}',
        encoding="utf-8",
    )
    return (folder / "index.html").as_uri()


def points(page: Any, panel: str) -> list[tuple[float, float]]:
    """Value and height of every point of a panel."""
    return page.locator(f"#strength-{panel} circle").evaluate_all(READ)


def choose(page: Any, **choices: Any) -> None:
    """By the lists beside the slider."""
    for name, value in choices.items():
        page.locator(f"#strength-{name}").select_option(str(value))


@pytest.mark.parametrize("theme", list(THEMES))
@pytest.mark.parametrize("width", [390, 1400])
def test_it_can_be_read(page: Any, tmp_path: Path, width: int, theme: str) -> None:
    """On a telephone and on a desk, by day and by night: nothing overflows, nothing is tiny, and
    letters stand out from their ground at least 4.5 to 1 (WCAG 2, level AA).
    """
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(alone(tmp_path, theme))
    assert page.locator("#strength svg").count() == 4
    assert page.locator("#strength svg circle").count() == 3 * 4 + 1  # three hidden layers
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(SMALL) == []
    assert page.evaluate(OUTSIDE) == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for part in ("#strength svg text", "#strength .said", "#strength .source"):
        ink = page.locator(part).first.evaluate(
            "one => getComputedStyle(one).fill + '|' + getComputedStyle(one).color"
        )
        chosen = ink.split("|")["svg" not in part]
        assert contrast(chosen, ground) >= 4.5
    for part in ("circle", ".limit"):
        ink = page.locator(f"#strength svg {part}").first.evaluate(
            f"one => getComputedStyle(one).{'fill' if part == 'circle' else 'stroke'}"
        )
        assert contrast(ink, ground) >= 3  # of what is no text


def contrast(one: str, other: str) -> float:
    """Of two colours `rgb(r, g, b)`, by the formula of WCAG 2."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_known_colours() -> None:
    """Black on white is 21, and #777777 on white 4.48."""
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
    assert contrast("rgb(119, 119, 119)", "rgb(255, 255, 255)") == pytest.approx(4.48, abs=0.005)


def test_the_slider_moves_the_curves_to_what_was_measured(
    page: Any, tmp_path: Path, data: dict[str, Any]
) -> None:
    """By the keyboard, through several strengths; and each choice takes the curves elsewhere."""
    page.goto(alone(tmp_path))
    slider, seen = page.locator("#strength-gamma"), []
    for choices in (
        {"depths": 3, "pathways": "gait", "weights": "orthogonal", "units": "leaky_relu"},
        {"depths": 1, "pathways": "itp", "weights": "gaussian", "units": "asinh"},
        {"depths": 5, "pathways": "gait", "weights": "gaussian", "units": "leaky_relu"},
    ):
        sigma = data["sigmas"][len(seen) % 4]
        choose(page, **choices, sigmas=sigma)
        slider.focus()
        page.keyboard.press("Home")
        cells = data["cells"][" ".join(map(str, choices.values()))]
        for place, (gamma, cell) in enumerate(zip(data["gammas"], cells, strict=True)):
            assert slider.get_attribute("aria-valuetext") == f"gamma {gamma:g}"
            wanted = {name: cell.get(name) or [] for name in ("shift", "cosine", "snr")}
            wanted["snr"] = [one / sigma for one in wanted["snr"]]
            for name, values in wanted.items():
                found = [value for value, _ in points(page, name)]
                assert found == pytest.approx(values, rel=1e-12), (gamma, name)
            assert [value for value, _ in points(page, "settled")] == [cell["settled"]]
            said = page.locator("#strength .said").inner_text()
            assert said.startswith(f"{cell['settled']} of {data['batch']} images settle.")
            seen.append(points(page, "cosine"))
            if place + 1 < len(cells):
                page.keyboard.press("ArrowRight")
    assert len({str(one) for one in seen}) > 30


@pytest.mark.parametrize("panel", ["shift", "cosine", "snr"])
def test_points_stand_where_the_axis_says(page: Any, tmp_path: Path, panel: str) -> None:
    """Between two ticks in proportion to their values, or to the logarithms of these."""
    import numpy as np

    page.goto(alone(tmp_path))
    choose(page, depths=5)
    ticks = page.locator(f"#strength-{panel} .tick").evaluate_all(TICKS)
    scale = (lambda one: one) if panel == "cosine" else np.log10
    places = [scale(value) for value, _ in ticks]
    line = np.polyfit(places, [height for _, height in ticks], 1)
    for value, height in points(page, panel):
        assert height == pytest.approx(np.polyval(line, scale(value)), abs=0.01)


def test_it_shows_what_its_file_says_and_nothing_of_its_own(page: Any, tmp_path: Path) -> None:
    """Another number in the file is another number, and another height, in the picture."""
    text = (DOCS / "_static" / FILES[2]).read_text(encoding="utf-8")
    names = runpy.run_path(str(DOCS / "drawings" / "strength_cells.py"))
    changed = names["read"]()
    place = changed["gammas"].index(0.01)
    changed["cells"]["3 gait orthogonal leaky_relu"][place]["cosine"][0] = 0.125
    assert text != names["written"](changed)
    page.goto(alone(tmp_path, cells=names["written"](changed)))
    (first, low), (_, high), *_ = points(page, "cosine")
    assert first == 0.125
    assert low > high + 20  # the axis of a picture points down


def test_it_is_there_for_who_cannot_see_it(page: Any, tmp_path: Path) -> None:
    """Every picture says its numbers, a table holds them, and every control has a name."""
    page.goto(alone(tmp_path))
    for panel in ("shift", "cosine", "snr", "settled"):
        picture = page.locator(f"#strength-{panel}")
        assert picture.get_attribute("role") == "img"
        label = picture.get_attribute("aria-label")
        assert "layer 4" in label if panel != "settled" else label.endswith("20 of 20")
    page.locator("#strength summary").click()
    rows = page.locator("#strength table tr").all_inner_texts()
    assert [row.split("\t")[0] for row in rows] == ["layer", "shift", "cosine", "signal to noise"]
    cosines = [float(one) for one in rows[2].split("\t")[1:]]
    assert cosines == pytest.approx([value for value, _ in points(page, "cosine")], abs=5e-4)
    for control in page.locator("#strength input, #strength select").all():
        assert control.evaluate("one => one.labels.length") == 1


# --- the site itself, where it has been built ---

built = pytest.mark.skipif(
    not (SITE / "index.html").is_file(), reason="the site is not built: python -m sphinx docs site"
)


@built
@pytest.mark.parametrize("theme", list(THEMES))
@pytest.mark.parametrize("width", [390, 1400])
def test_the_front_page_of_the_site_holds_it(browser: Any, width: int, theme: str) -> None:
    """In its theme, opened from a file: no error, no overflow, nothing tiny."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page, said = context.new_page(), []
    page.on("console", lambda one: one.type == "error" and said.append(one.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((SITE / "index.html").as_uri())
    assert page.locator("html").get_attribute("data-theme") == theme
    assert page.locator("#strength svg circle").count() == 3 * 4 + 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(SMALL) == [] == page.evaluate(OUTSIDE)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    ink = page.locator("#strength svg text").first.evaluate("one => getComputedStyle(one).fill")
    assert contrast(ink, ground) >= 4.5
    context.close()
    assert said == []


@built
def test_the_search_finds_what_a_word_means(browser: Any) -> None:
    """Concepts, at the very word, is among the first three; a name of the code leads elsewhere."""
    page = browser.new_page()
    for query, wanted in (
        ("auxiliary unit", "concepts.html#term-auxiliary-unit"),
        ("GAIT-prop", "concepts.html#term-GAIT-prop"),
        ("target", "concepts.html#term-target"),
        ("build_circuit", "reference/circuit.build_circuit.html#circuit.build_circuit"),
    ):
        page.goto((SITE / "search.html").as_uri() + f"?q={query}")
        page.wait_for_function(FINISHED)
        found = page.locator("#search-results ul.search li > a")
        first = [one.get_attribute("href") for one in found.all()[:3]]
        assert wanted in first, query
        assert any("concepts" in one for one in first) is wanted.startswith("concepts")
        page.goto(f"{SITE.as_uri()}/{wanted}")
        assert page.evaluate("document.getElementById(location.hash.slice(1)) !== null")
    page.close()


@built
def test_the_search_box_finds_settle(browser: Any) -> None:
    """From the front page: its page in the reference is among what is found; a word that is nowhere
    finds nothing.
    """
    page = browser.new_page()
    for word in ("settle", "quxfrobnicate"):
        page.goto((SITE / "index.html").as_uri())
        page.locator("button.search-button__button").first.click()
        page.keyboard.type(word)
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/search.html?q={word}*")
        page.wait_for_function(FINISHED)
        found = page.locator("#search-results ul.search li a").all_inner_texts()
        assert any("settle" in one for one in found) is (word == "settle")
        assert len(found) >= 3 or word != "settle"
        assert not found or word == "settle"
    page.close()
