import numpy as np
from PIL import Image

from ecl.apps.data.scan import scan_images


def test_results_come_in_the_order_of_the_files(tmp_path):
    paths = [str(tmp_path / f'{number}.png') for number in range(150)]
    for number, path in enumerate(paths):
        if number % 10:
            Image.fromarray(np.full((2, 3 + number), number, np.uint8)).save(path)
    seen = list(scan_images(iter(paths), len(paths), workers=2))
    assert [path for path, _ in seen] == paths
    widths = [facts.size[0] for _, facts in seen]
    assert widths == [3 + number if number % 10 else 0 for number in range(150)]
