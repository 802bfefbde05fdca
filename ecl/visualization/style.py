"""Colours, markers, fonts and axes that the figures share, safe for colour-blind readers."""

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

#: Colours of the shot groups.
GROUP_COLOURS = {'many': '#0072B2', 'medium': '#E69F00', 'few': '#D55E00'}
#: Markers of the shot groups, for readers who do not see colours.
GROUP_MARKERS = {'many': 'o', 'medium': 's', 'few': '^'}
#: Colours and dashes of other lines, in the order of use.
LINE_COLOURS = ('#333333', '#009E73', '#CC79A7', '#56B4E9', '#8C6BB1', '#7F7F7F')
LINE_STYLES = ('-', '--', '-.', ':', (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
#: Colour map from zero (transparent) to large values.
SHADES = LinearSegmentedColormap.from_list('shades', ['#1764AB08', '#1764AB'])
#: Text colour on a dark and on a light background.
ON_DARK, ON_LIGHT = '#F7F7F7', '#111111'
#: Size in inches of a figure that is still readable on a phone.
SMALL = (4.0, 3.2)


def plain_axes(axes: Axes) -> None:
    """Reduce the axes to two spines and a pale grid behind the data."""
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(color='0.9')
    axes.set_axisbelow(True)


def short_name(name: str, length: int = 24) -> str:
    """Cut a class name to a number of characters."""
    return name if len(name) <= length else f'{name[: length - 1]}…'


def shaded_cells(axes: Axes, percent: np.ndarray) -> None:
    """Draw a matrix of percentages as shaded cells with numbers; numbers near zero are omitted.

    Args:
        axes: Where to draw.
        percent: Shape (rows, columns), 0 to 100.
    """
    axes.imshow(percent, cmap=SHADES, vmin=0, vmax=100, interpolation='none', aspect='auto')
    for (row, column), value in np.ndenumerate(percent):
        if value >= 0.5:
            text = axes.text(column, row, f'{value:.0f}', ha='center', va='center')
            if value > 70:
                text.set_color(ON_DARK)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


#: Font families with Chinese, Japanese and Korean, in the order of search.
_CJK = (
    'Noto Sans CJK SC',
    'Noto Sans CJK JP',
    'Source Han Sans SC',
    'WenQuanYi Micro Hei',
    'WenQuanYi Zen Hei',
    'PingFang SC',
    'Hiragino Sans',
    'Microsoft YaHei',
    'SimHei',
    'Droid Sans Fallback',
)


def font_families() -> list[str]:
    """Return Matplotlib's own font and the installed fonts with the scripts that it lacks.

    Returns:
        A value for ``matplotlib.rcParams['font.family']``.
    """
    installed = set(font_manager.get_font_names())
    return ['DejaVu Sans', *(name for name in _CJK if name in installed)]
