"""Sphinx's configuration: ``make -C docs html`` builds the pages, without any access to the network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx_autodoc_typehints import format_annotation

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

import jbc  # noqa: E402

# Modules that have another name inside the package.
for _name in ("datasets", "model_selection", "presets"):
    sys.modules[f"jbc.{_name}"] = getattr(jbc, _name)

project = "jbc"
author = copyright = "the jbc authors"
version = release = jbc.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",
    "sphinx_copybutton",
    "sphinx_design",
    # In _ext/
    "checkout",
    "mathml",
    "public_names",
]
exclude_patterns = ["_build", "_ext", "_templates", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["jbc.css"]

html_theme = "sphinx_book_theme"
html_title = f"jbc {release}"
html_theme_options = {
    "show_navbar_depth": 1,
    "collapse_navbar": True,  # the whole tree on every page takes half of the time of a build
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navbar_persistent": [],  # one field to search in is enough
}
html_show_sourcelink = False
html_math_renderer = "mathml"

smartquotes_action = "D"  # dashes; quotation marks stay as they are written
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks keep their outputs

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_rtype = False
always_use_bars_union = True
typehints_defaults = "braces-after"
typehints_document_rtype_none = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# A function among these settings is not kept for the next build. Annotations of an inherited ``__init__`` name what
# another module has imported.
suppress_warnings = ["config.cache", "sphinx_autodoc_typehints.forward_reference"]

nitpicky = True
# Other projects' objects: their inventories would have to be fetched, and this builds offline.
_ELSEWHERE = (
    "anndata|chex|collections|concurrent|contextlib|flax|jax|jaxlib|matplotlib|np|numpy|optax|orbax|os|pandas|"
    "pathlib|sklearn|typing"
)
# Names of types that annotations use before they are defined.
_ALIASES = "Array|Composition|Ellipsis|Fitted|Shared|Tone|.*Points"
nitpick_ignore_regex = [
    ("py:.*", rf"(?:{_ELSEWHERE})(?:\..*)?"),
    ("py:.*", _ALIASES),
]


def _skip(app: object, what: str, name: str, thing: object, skip: bool, options: object) -> bool | None:
    """Leave out what scikit-learn adds to every estimator."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def typehints_formatter(annotation: object, config: Config) -> str | None:
    """Show a constrained number as a number, and a choice by its values."""
    if get_origin(annotation) is Annotated:
        return format_annotation(get_args(annotation)[0], config)
    if get_origin(annotation) is Literal:
        return " | ".join(f"``{value!r}``" for value in get_args(annotation))
    return None


def setup(app: Sphinx) -> None:
    """Choose the members that are shown."""
    app.connect("autodoc-skip-member", _skip)
