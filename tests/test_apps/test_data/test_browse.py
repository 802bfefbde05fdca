from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mmengine.config import Config
from torch.utils.data import Dataset

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


class BlueFirst(Dataset):
    """Images whose first channel alone is 255."""

    metainfo = {'classes': ('a', 'b')}

    def __len__(self):
        return 2

    def get_gt_labels(self):
        return np.arange(2)

    def __getitem__(self, index):
        image = torch.zeros(3, 4, 4, dtype=torch.uint8)
        image[0] = 255
        return {'inputs': image}


@pytest.fixture
def shown(sheets, monkeypatch, tmp_path, fresh_engine_state):
    """The views of the first image of a configuration, drawn from such images."""
    monkeypatch.setattr(MODULE, '_dataset', lambda *_: BlueFirst())

    def views(split='train', **config):
        cfg = Config({'work_dir': str(tmp_path), 'default_scope': 'ecl', **config})
        monkeypatch.setattr(MODULE, 'load_config', lambda *_, **__: cfg)
        MODULE.init_default_scope('ecl')
        browse('any.py', tmp_path / 'a.png', split=split, num_classes=1, num_images=1)
        return sheets[-1][0][0][0]

    return views


@pytest.mark.parametrize('inside', [True, False])
def test_colours_are_red_green_blue(shown, inside):
    """Whether the preprocessor stands in the model or beside it."""
    normalise = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
    for to_rgb, first_pixel in ((True, [0, 0, 255]), (False, [255, 0, 0])):
        preprocessor = dict(to_rgb=to_rgb, **normalise)
        config = dict(data_preprocessor=None, model=dict(data_preprocessor=preprocessor))
        views = shown(**(config if inside else dict(data_preprocessor=preprocessor)))
        assert [view[0, 0].tolist() for view in views] == [first_pixel]
        assert views[0].dtype == np.uint8


def test_views_of_the_preprocessor_are_drawn_for_training_alone(shown):
    crop = dict(type='BatchRandomCrop', crop_size=2)
    preprocessor = dict(type='MultiViewDataPreprocessor', views=[[], [crop]])
    assert [view.shape for view in shown(data_preprocessor=preprocessor)] == [(4, 4, 3), (2, 2, 3)]
    tested = shown('test', data_preprocessor=preprocessor)
    assert [view.shape for view in tested] == [(4, 4, 3)]


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
