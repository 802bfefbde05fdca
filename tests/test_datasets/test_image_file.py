import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ecl.datasets import image_file
from ecl.datasets.image_file import inspect_image

NOISE = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def _bytes(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _rgb():
    return Image.fromarray(NOISE)


def _animation(form):
    frames = [Image.fromarray(NOISE[:, ::step]).resize((30, 40)) for step in (1, -1)]
    return _bytes(frames[0], form, save_all=True, append_images=frames[1:])


def _bomb():
    """A PNG of a few bytes that claims 60,000 x 60,000 pixels."""

    def chunk(name, data):
        return (
            struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
        )

    header = struct.pack('>IIBBBBB', 60_000, 60_000, 8, 0, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(b''))


@pytest.fixture
def inspect(tmp_path):
    def inspect(content, name='image.jpg'):
        (tmp_path / name).write_bytes(content)
        return inspect_image(tmp_path / name)

    return inspect


@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF', 'GIF', 'PPM'])
def test_sound_images_have_no_fault(inspect, form):
    facts = inspect(_bytes(_rgb(), form))
    assert (facts.fault, facts.size) == ('', (30, 40))
    assert facts.kind == ('palette' if form == 'GIF' else '')


@pytest.mark.parametrize(
    ('content', 'kind'),
    [
        (_bytes(_rgb().convert('CMYK'), 'JPEG'), 'CMYK'),
        (_bytes(Image.fromarray(NOISE[..., 0].astype(np.uint16) * 200), 'PNG'), '16-bit'),
        (_bytes(_rgb().convert('P'), 'PNG'), 'palette'),
        (_bytes(_rgb().convert('RGBA'), 'PNG'), ''),
        (_bytes(_rgb().convert('LA'), 'PNG'), ''),
        (_bytes(_rgb().convert('1'), 'PNG'), ''),
        (_animation('GIF'), 'animated'),
        (_animation('WEBP'), 'animated'),
    ],
)
def test_unusual_kinds_are_sound_and_named(inspect, content, kind):
    facts = inspect(content)
    assert (facts.fault, facts.kind) == ('', kind)


@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF', 'GIF'])
def test_truncated_images_are_damaged(inspect, form):
    content = _bytes(_rgb(), form)
    assert inspect(content[: len(content) * 2 // 3]).fault.startswith('it is damaged: ')


@pytest.mark.parametrize(
    ('content', 'fault'),
    [
        (b'', 'the file is empty'),
        (b'<html>404</html>', 'it is no image'),
        (_bomb(), 'it claims more than 89,478,485 pixels'),
    ],
)
def test_what_is_no_image_is_told(inspect, content, fault):
    assert inspect(content).fault.startswith(fault)


def test_a_flipped_byte_inside_a_png_is_found(inspect):
    content = bytearray(_bytes(_rgb(), 'PNG'))
    content[len(content) // 2] ^= 1
    assert inspect(bytes(content)).fault.startswith('it is damaged')


def test_what_opencv_cannot_decode_is_a_fault(inspect, monkeypatch):
    monkeypatch.setattr(image_file.mmcv, 'imfrombytes', lambda content: None)
    assert inspect(_bytes(_rgb(), 'PNG')).fault.startswith('OpenCV, which training reads with')


def test_copies_have_the_same_sum(inspect):
    content = _bytes(_rgb(), 'PNG')
    assert inspect(content, 'a.png').digest == inspect(content, 'b.png').digest != ''
    assert inspect(content + b'\0', 'c.png').digest != inspect(content, 'a.png').digest


def test_missing_files_links_to_nowhere_and_folders(tmp_path):
    (tmp_path / 'link.png').symlink_to(tmp_path / 'gone.png')
    (tmp_path / 'loop.png').symlink_to(tmp_path / 'loop.png')
    (tmp_path / 'folder.png').mkdir()
    faults = {
        name: inspect_image(tmp_path / f'{name}.png').fault
        for name in ('gone', 'link', 'loop', 'folder')
    }
    assert faults['gone'] == 'the file is missing'
    assert faults['link'] == 'the link leads nowhere'
    assert faults['loop'].startswith('it cannot be read: Too many levels of symbolic links')
    assert faults['folder'].startswith('it cannot be read: Is a directory')


def test_permission(inspect, tmp_path, monkeypatch):
    path = tmp_path / 'image.png'
    path.write_bytes(_bytes(_rgb(), 'PNG'))
    path.chmod(0)
    if os.access(path, os.R_OK):  # an administrator may read everything

        def refuse(path):
            raise PermissionError(13, 'Permission denied')

        monkeypatch.setattr(image_file, '_read', refuse)
    assert inspect_image(path).fault == 'it may not be read (no permission)'
