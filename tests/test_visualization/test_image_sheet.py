import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ecl.visualization import image_sheet

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
