"""The page of a real training, read back."""

import json
import re
import shutil
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from ecl.apps.report import report
from ecl.apps.report.curves import training_curves
from ecl.apps.report.page import PALETTE, TOPICS, inline_svg, page_style, variable
from ecl.errors import UserError

LOADING = ('src', 'href', 'xlink:href', 'srcset', 'data', 'poster', 'action')


class Page(HTMLParser):
    """Elements with their attributes, and the text of headings and table cells."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.cells, self._within = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._within = tag
        if tag in ('h2', 'td', 'th'):
            self.cells.append((tag, ''))

    def handle_data(self, data):
        if self._within in ('h2', 'td', 'th') and self.cells:
            tag, text = self.cells[-1]
            self.cells[-1] = (tag, text + data)

    def handle_endtag(self, tag):
        self._within = None

    def of(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]

    def texts(self, tag):
        return [text for kind, text in self.cells if kind == tag]


@pytest.fixture(scope='module')
def texts(digits_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp('pages')
    other = folder / 'without a record'
    shutil.copytree(digits_run, other)
    (other / 'results.json').unlink()
    (other / 'distill_weights.npz').unlink()
    # The last checkpoint is found by its absolute path.
    (other / 'last_checkpoint').write_text(str(other / 'epoch_3.pth'))
    one = report([digits_run], folder / 'new' / 'one.html')
    both = report([digits_run, other], folder / 'both.html')
    return one.read_text(), both.read_text()


@pytest.fixture(scope='module')
def one(texts):
    return Page(texts[0])


@pytest.fixture(scope='module')
def both(texts):
    return Page(texts[1])


def test_nothing_is_loaded_from_elsewhere(texts):
    for text in texts:
        loaded = [v for _, a in Page(text).elements for k, v in a.items() if k in LOADING]
        assert loaded
        assert {address.partition(':')[0] for address in loaded if address[0] != '#'} == {'data'}
        assert '@import' not in text
        assert set(re.findall(r'url\(["\']?(.)', text)) <= {'#'}
        assert '<script' not in text


def test_the_table_repeats_the_metrics_of_the_training(one, digits_run):
    metrics = json.loads((digits_run / 'results.json').read_text())['metrics']
    rows = [one.texts('td')[start : start + 5] for start in range(0, 20, 5)]
    groups = ('overall', 'many', 'medium', 'few')  # of these data, balanced is overall
    for row, owner in zip(rows, ('', 'expert0/', 'expert1/', 'expert2/'), strict=True):
        assert row[:4] == [f'{metrics[f"shot/{owner}{group}"]:.2f}' for group in groups]


def test_every_topic_has_its_figure(one):
    titles = [topic.title for topic in TOPICS]
    assert one.texts('h2') == ['Result', 'Protocol', *titles, 'Test images, right and wrong']
    figures = [svg['aria-label'] for svg in one.of('svg')]
    assert [label.partition(',')[0] for label in figures] == titles


def test_pictures_have_words_and_names_are_unique(texts):
    for text in texts:
        page = Page(text)
        assert all(image.get('alt') for image in page.of('img'))
        assert all(svg['role'] == 'img' and svg['aria-label'] for svg in page.of('svg'))
        names = [a['id'] for _, a in page.elements if 'id' in a]
        assert len(names) == len(set(names))


def test_samples_are_right_and_wrong_images_of_the_test_set(one):
    images = one.of('img')
    alts = [re.fullmatch(r'Test image of class (\d), predicted as (\d)', x['alt']) for x in images]
    right = [match[1] == match[2] for match in alts]
    kinds = [a['class'] for _, a in one.elements if a.get('class', '') in ('is-right', 'is-wrong')]
    assert kinds == ['is-right' if is_right else 'is-wrong' for is_right in right]
    assert {True, False} == set(right)


def test_several_trainings_stand_side_by_side(both, digits_run):
    assert len(both.of('svg')) == 2 * len(TOPICS) - 1  # one has no weights
    assert both.texts('th').count('ensemble') == 2
    assert digits_run.name in both.texts('th')


def test_what_is_missing_is_said(texts):
    assert 'This model has no distillation weights.' in texts[1]
    assert 'results.json is missing' in texts[1]
    assert 'results.json is missing' not in texts[0]


def test_a_folder_is_no_file_to_write(digits_run, tmp_path):
    with pytest.raises(UserError, match='it is a folder'):
        report([digits_run], tmp_path)


@pytest.mark.parametrize(('name', 'message'), [('absent', 'does not exist'), ('', 'no checkpoint')])
def test_a_folder_without_a_training_is_told(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        report([tmp_path / name])
    assert not list(tmp_path.iterdir())


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
