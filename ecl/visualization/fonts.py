"""Fonts for names in any script."""

from matplotlib import font_manager

#: Families with Chinese, Japanese and Korean, in the order they are looked for.
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
    """Matplotlib's own font, then those installed that have the scripts it lacks.

    Returns:
        A value for ``matplotlib.rcParams['font.family']``.
    """
    installed = set(font_manager.get_font_names())
    return ['DejaVu Sans', *(name for name in _CJK if name in installed)]
