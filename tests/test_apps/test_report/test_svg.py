from xml.etree import ElementTree

from ecl.apps.report.scalars import training_curves
from ecl.apps.report.svg import PALETTE, inline_svg, page_style, variable


def _drawn(salt='a', alt='Losses.'):
    with page_style():
        figure = training_curves({'many': ([1, 2], [3.0, 4.0]), 'x': ([1, 2], [1.0, 2.0])}, 'loss')
        return inline_svg(figure, alt, salt)


def test_text_stays_text_and_says_what_the_figure_shows():
    root = ElementTree.fromstring(_drawn(alt='Less than "1" & falling <fast>.'))
    assert root.get('role') == 'img'
    assert root.get('aria-label') == 'Less than "1" & falling <fast>.'
    assert 'loss' in [
        ''.join(node.itertext()).strip() for node in root.iter() if 'text' in node.tag
    ]


def test_colours_of_the_palette_follow_the_page():
    text = _drawn().lower()
    for colour in PALETTE:
        assert colour not in text
    assert f'var({variable("#0072b2")})' in text


def test_the_same_figure_gives_the_same_text():
    assert _drawn() == _drawn()


def test_names_inside_two_figures_differ():
    def names(text):
        return {node.get('id') for node in ElementTree.fromstring(text).iter()} - {None}

    assert names(_drawn('a'))
    assert not names(_drawn('a')) & names(_drawn('b'))
