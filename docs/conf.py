"""How the site is made of the pages, the faces of the library and the gallery.

Nothing is fetched, neither here nor by a reader: no inventory of another project, no script, font
or picture from elsewhere. Mathematics is written in plain letters, as GitHub and a terminal show
it, so that no page needs a script for formulas.
"""

import sys
from importlib.metadata import version as installed
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import faces  # noqa: E402 - beside this file
import offline  # noqa: E402
from sphinx.util.logging import getLogger  # noqa: E402

faces.write(HERE.parent, HERE / "reference")

project = "gait-circuit"
author = "The gait-circuit developers"
project_copyright = author
version = release = installed("gait-circuit")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "numpydoc",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
nitpicky = True

# the reference
default_role = "literal"
autodoc_typehints = "signature"
numpydoc_show_class_members = False
nitpick_ignore_regex = [("py:class", ".*")]  # types in signatures, which mypy checks

# the gallery: every script is run, and one that fails ends the build
sphinx_gallery_conf = {
    "examples_dirs": "../gallery",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,
}

# a page of times, which would fetch scripts
exclude_patterns = ["sg_execution_times.rst", "gallery/sg_execution_times.rst"]

# pages are Markdown that GitHub shows as well: anchors are GitHub's
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
suppress_warnings = ["myst.header"]  # a page may go from its title to a small heading

highlight_language = "text"  # of what is printed or typed into a shell; Python says so

html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 9,
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "show_toc_level": 2,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def check_that_nothing_is_fetched(app, exception):
    """A warning, and so an error, for every page that would load something from elsewhere."""
    if exception is None and app.builder.format == "html":
        for page, addresses in offline.fetched(Path(app.outdir)).items():
            getLogger(__name__).warning("%s loads %s", page, ", ".join(addresses))


def setup(app):
    """Docstrings are plain words: made reStructuredText before numpydoc reads their sections."""
    app.connect(
        "autodoc-process-docstring", lambda *given: faces.translate(given[-1]), priority=400
    )
    app.connect("build-finished", check_that_nothing_is_fetched)
    # a page that is not read anew would lose its terms in the search
    app.connect("env-get-outdated", lambda *given: ["concepts"])
    app.connect(  # what scikit-learn adds to every estimator is not ours to describe
        "autodoc-skip-member", lambda app, what, name, *_: name.endswith("_request") or None
    )
