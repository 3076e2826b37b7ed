"""How Sphinx builds the site: `make site`."""

import sys
from pathlib import Path

import rnnspec

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

rnnspec.get_backend("tensorflow")  # its backend starts TensorFlow without the lines that the reference would print

project = "rnnspec"
author = "the authors of rnnspec"
release = version = rnnspec.__version__

extensions = [
    "myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_copybutton",
    "contents", "docstrings", "files", "languages", "mathml", "sources",
]  # fmt: skip
exclude_patterns = ["examples/rnnspec-onnxruntime/.*", "**/.pytest_cache", "**/__pycache__"]
nitpicky = True

myst_fence_as_directive = ["math"]  # as GitHub does
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_display_short_literal_types = True
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
default_role = "public"
html_math_renderer = "mathml"

html_theme = "furo"
html_title = "rnnspec"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
pygments_style = "tango"
pygments_dark_style = "github-dark"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
