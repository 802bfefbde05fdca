"""Sphinx configuration of the manual. `make docs` builds it; a warning is an error."""

import os
import sys
from pathlib import Path

# Use one thread. Import this checkout, not an installed copy.
os.environ.setdefault('OMP_NUM_THREADS', '1')
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'docs')]

import ecl  # noqa: E402

project = 'ECL'
author = 'the contributors of ECL'
copyright = author
release = version = ecl.__version__

extensions = [
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'myst_parser',
    'sphinx_copybutton',
    'sphinx_design',
    'mathml',
    'toolbox_pages',
]
exclude_patterns = ['_build']

myst_enable_extensions = ['colon_fence', 'dollarmath', 'fieldlist']
myst_heading_anchors = 3
smartquotes = False  # it makes a dash of the two hyphens of an option
copybutton_prompt_text = r'>>> |\.\.\. |\$ '
copybutton_prompt_is_regexp = True

autodoc_member_order = 'bysource'
autodoc_typehints_format = 'short'
autodoc_preserve_defaults = True
autosummary_generate = False
napoleon_use_rtype = False

html_math_renderer = 'mathml'
html_theme = 'furo'
html_title = f'ECL {release}'
html_static_path = ['_static']
html_css_files = ['manual.css']
html_theme_options = {'navigation_with_keys': True}
