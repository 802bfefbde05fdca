"""Image folders to prepare."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def write_image() -> Callable[..., None]:
    """Write an image of noise; the same seed gives the same pixels."""

    def write(path: Path, seed: int, size: tuple[int, int] = (12, 10)) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)

    return write


@pytest.fixture
def birds(tmp_path: Path, write_image: Callable[..., None]) -> Path:
    """Three classes of 12, 8 and 5 images: nested, of mixed types, with unusual names."""
    root = tmp_path / 'my birds'
    seed = 0
    kinds = ('.png', '.jpg', '.WEBP', '.bmp')
    for name, number in (('grey heron', 12), ('Uhu é', 8), ('雀', 5)):
        for index in range(number):
            inside = 'a b/c' if index % 3 == 0 else ''
            seed += 1
            write_image(root / name / inside / f'no {index}{kinds[index % 4]}', seed)
    (root / 'notes.txt').write_text('no image')
    (root / '雀' / 'Thumbs.db').write_bytes(b'no image')
    (root / '.git').mkdir()
    return root
