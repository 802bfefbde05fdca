from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ecl.apps.data.browse import browse, distribution, image_sheet
from ecl.errors import UserError

MODULE = import_module('ecl.apps.data.browse')
DIGITS = Path(__file__).parents[3] / 'configs' / 'ecl' / 'ecl_r8_digits-lt.py'


@pytest.fixture
def sheets(monkeypatch):
    """What was to be drawn: (rows, titles) of each sheet."""
    drawn, draw = [], MODULE.image_sheet

    def watch(rows, titles):
        drawn.append((rows, titles))
        return draw(rows, titles)

    monkeypatch.setattr(MODULE, 'image_sheet', watch)
    return drawn


def test_a_sheet_goes_from_the_largest_class_to_the_smallest(sheets, tmp_path, fresh_engine_state):
    path = browse(DIGITS, tmp_path / 'new' / 'sheet.png', num_classes=4, num_images=3)
    assert path.read_bytes().startswith(b'\x89PNG')
    rows, titles = sheets[0]
    assert titles == ['0\n120 images', '3\n32 images', '6\n8 images', '9\n2 images']
    assert [len(row) for row in rows] == [3] * 4
    assert all(np.shape(views) == (2, 8, 8, 3) for row in rows for views in row)
    # The two views of an image differ, and a repeated image is augmented anew.
    assert any(not np.array_equal(*views) for row in rows for views in row)


def test_the_same_seed_gives_the_same_sheet(sheets, tmp_path, fresh_engine_state):
    for seed in (1, 1, 2):
        browse(DIGITS, tmp_path / 'a.png', num_classes=2, num_images=2, seed=seed)
    first, again, other = (np.array(rows) for rows, _ in sheets)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_test_images_are_shown_as_they_are(sheets, tmp_path, fresh_engine_state):
    browse(DIGITS, tmp_path / 'a.png', split='test', num_classes=2, num_images=60)
    rows, _ = sheets[0]
    assert [len(row) for row in rows] == [50] * 2
    assert len({views[0].tobytes() for row in rows for views in row}) > 95


def test_colours_are_red_green_blue(tmp_path):
    blue_first = np.zeros((3, 4, 4), np.uint8)
    blue_first[0] = 255
    assert MODULE._views(blue_first, to_rgb=True)[0][0, 0].tolist() == [0, 0, 255]
    assert MODULE._views([blue_first], to_rgb=False)[0][0, 0].tolist() == [255, 0, 0]


def test_distribution_has_train_beside_test(tmp_path, monkeypatch, fresh_engine_state):
    drawn, draw = [], MODULE.class_distribution
    monkeypatch.setattr(MODULE, 'class_distribution', lambda *a: drawn.append(a) or draw(*a))
    path = distribution(DIGITS, tmp_path / 'a.png')
    assert path.read_bytes().startswith(b'\x89PNG')
    train, test, names = drawn[0]
    assert train == [120, 77, 50, 32, 21, 13, 8, 5, 3, 2]
    assert test == [50] * 10
    assert names == tuple('0123456789')


def test_a_split_that_is_not_there_is_told(tmp_path):
    (tmp_path / 'empty.py').write_text('model = dict()\n')
    with pytest.raises(UserError, match=r'empty.py has no val_dataloader'):
        browse(tmp_path / 'empty.py', split='val')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(num_classes=0), 'num_classes: got 0, expected a whole number of at least 1'),
        (dict(num_images=-1), 'num_images: got -1, expected a whole number of at least 1'),
        (dict(seed=-1), 'seed: got -1, expected a whole number of at least 0'),
        (dict(out='x.txt'), r'--out x\.txt: the name must end in \.png'),
    ],
)
def test_arguments_that_draw_nothing_are_told(arguments, message):
    with pytest.raises(UserError, match=message):
        browse(DIGITS, **arguments)


COLOURS = np.random.default_rng(0).integers(0, 256, (3, 4, 2, 3), dtype=np.uint8)


def _rows(views):
    return [
        [
            [np.full((8, 8, 3), COLOURS[r, i, v], np.uint8) for v in range(views)]
            for i in range(4 - r)
        ]
        for r in range(3)
    ]


@pytest.mark.parametrize('views', [1, 2])
def test_every_view_stands_in_its_place(views):
    figure = image_sheet(_rows(views), ['owl\n9 images', 'emu', 'a long name of a bird'])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [axes.get_position() for axes in figure.axes]
    assert len(boxes) == (4 + 3 + 2) * views
    assert all(box.x0 >= 0 and box.x1 <= 1 and box.y0 >= 0 and box.y1 <= 1 for box in boxes)
    assert not any(a.overlaps(b) for a in boxes for b in boxes if a is not b)
    # Drawn from the top row to the bottom one, from left to right.
    assert boxes == sorted(boxes, key=lambda box: (-round(box.y0, 6), box.x0))
    shown = [axes.images[0].get_array()[0, 0].tolist() for axes in figure.axes]
    expected = [COLOURS[r, i, v] for r in range(3) for i in range(4 - r) for v in range(views)]
    assert shown == [colour.tolist() for colour in expected]
    texts = [text.get_text() for text in figure.texts]
    assert texts[:3] == ['owl\n9 images', 'emu', 'a long name of a bird']
    assert texts[3:] == (['view 1', 'view 2'] if views == 2 else [])
    # Nothing sticks out on the left.
    renderer = canvas.get_renderer()
    assert min(text.get_window_extent(renderer).x0 for text in figure.texts) >= 0
