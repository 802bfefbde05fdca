"""Sphinx extension that renders formulas as MathML at build time.

Every current browser draws MathML, so the pages need no script and no network.
"""

import html

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)


def mathml(node: nodes.math | nodes.math_block) -> str:
    """Convert a formula to MathML; a LaTeX error becomes a warning and the source is shown."""
    try:
        return tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block))
    except MathError as error:
        logger.warning('invalid formula: %s', error, location=node)
        return f'<code>{html.escape(node.astext())}</code>'


def visit_inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write an inline formula."""
    translator.body.append(mathml(node))
    raise nodes.SkipNode


def visit_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a displayed formula, in a box that scrolls on narrow screens."""
    translator.body.append(translator.starttag(node, 'div', CLASS='formula'))
    translator.body.append(mathml(node))
    translator.body.append('</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer ``mathml`` for ``html_math_renderer``."""
    app.add_html_math_renderer(
        'mathml', inline_renderers=(visit_inline, None), block_renderers=(visit_block, None)
    )
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
