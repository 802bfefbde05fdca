"""Figures as parts of a page that may be light or dark."""

import io
import re
from contextlib import AbstractContextManager
from html import escape
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from ecl.visualization import font_families

INK = '#24292f'
#: Colours that stand out from a light and from a dark page, by the colour that a figure is drawn
#: in. Others stay as they are.
PALETTE = {
    INK: ('#24292f', '#e6e6e6'),
    '#333333': ('#24292f', '#e6e6e6'),
    '#e6e6e6': ('#e3e5e8', '#33383f'),
    '#ffffff': ('#ffffff', '#1b1e23'),
    '#0072b2': ('#0072b2', '#56b4e9'),
    '#e69f00': ('#d98e00', '#f0b429'),
    '#d55e00': ('#b03a00', '#ff7a45'),
    '#009e73': ('#008a65', '#2fc79a'),
    '#cc79a7': ('#b85b90', '#e39cc4'),
    '#56b4e9': ('#2f8fc7', '#8fd0f5'),
    '#8c6bb1': ('#7a57a3', '#b79ad6'),
    '#7f7f7f': ('#6e7781', '#9aa4af'),
}


def page_style() -> AbstractContextManager:
    """Settings of Matplotlib to draw a figure of the page under."""
    ink: tuple[Any, ...] = (
        'text.color',
        'axes.edgecolor',
        'axes.labelcolor',
        'xtick.color',
        'ytick.color',
    )
    return rc_context(
        {
            **dict.fromkeys(ink, INK),
            'font.family': font_families(),
            'font.size': 9.5,
            'axes.labelsize': 9.5,
            'xtick.labelsize': 9,
            'ytick.labelsize': 9,
            'legend.fontsize': 9,
            # Text stays text: it can be read aloud and copied, and takes the page's font.
            'svg.fonttype': 'none',
        }
    )


def inline_svg(figure: Figure, alt: str, salt: str) -> str:
    """Turn a figure into an SVG element whose colours follow the page.

    Args:
        figure: Drawn under :func:`page_style`.
        alt: What the figure shows, for those who cannot see it.
        salt: Name that is unique on the page, so that the figures' inner names do not clash.

    Returns:
        ``<svg ...>``, the same for the same figure.
    """
    file = io.StringIO()
    metadata = dict.fromkeys(('Creator', 'Date', 'Format', 'Type'))
    with rc_context({'svg.hashsalt': salt}):
        figure.savefig(file, format='svg', transparent=True, metadata=metadata)
    text = file.getvalue()
    text = text[text.index('<svg') :]
    text = re.sub(r' id="[\w.]+_\d+"', '', text)  # nothing refers to these
    for colour in PALETTE:
        text = re.sub(colour, f'var({variable(colour)})', text, flags=re.IGNORECASE)
    label = escape(alt, quote=True)
    return text.replace('<svg', f'<svg role="img" aria-label="{label}"', 1)


def variable(colour: str) -> str:
    """Name of the page's variable for a colour of :data:`PALETTE`."""
    return f'--c{colour.lstrip("#")}'
