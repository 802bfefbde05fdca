import io
import os
import re
import struct
import zlib
from pathlib import Path

import mmcv
import numpy as np
import pytest
from PIL import Image

from ecl.datasets import image_file
from ecl.datasets.image_file import decode_image, find_images, inspect_image, read_image
from ecl.errors import UserError

NOISE = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def _bytes(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _rgb():
    return Image.fromarray(NOISE)


def _half_transparent():
    """Noise, opaque above; below, black and transparent."""
    pixels = np.dstack([NOISE, np.full((40, 30), 255, np.uint8)])
    pixels[20:] = 0
    return Image.fromarray(pixels)


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
        (_bytes(_half_transparent(), 'PNG'), 'transparent'),
        (_bytes(_half_transparent().convert('LA'), 'PNG'), 'transparent'),
        (_bytes(_half_transparent(), 'WEBP'), 'transparent'),
        (_bytes(_half_transparent(), 'GIF'), 'transparent'),
        (_bytes(_rgb().convert('1'), 'PNG'), ''),
        (_animation('GIF'), 'animated'),
        (_animation('WEBP'), 'animated'),
    ],
)
def test_unusual_kinds_are_sound_and_named(inspect, content, kind):
    facts = inspect(content)
    assert (facts.fault, facts.kind) == ('', kind)


@pytest.mark.parametrize('mode', ['RGBA', 'LA', 'P'])
@pytest.mark.parametrize(
    ('form', 'options'), [('PNG', {}), ('TIFF', {}), ('WEBP', dict(lossless=True)), ('GIF', {})]
)
def test_transparent_parts_are_white(form, options, mode):
    if (form, mode) in (('TIFF', 'P'), ('GIF', 'LA'), ('GIF', 'P')):
        pytest.skip(f'Pillow writes no {form} of {mode} with transparency')
    image = _half_transparent()
    image = image.quantize(256) if mode == 'P' else image.convert(mode)
    content = _bytes(image, form, **options)
    decoded = decode_image(content)
    assert (decoded.shape, decoded.dtype) == ((40, 30, 3), np.uint8)
    assert (decoded[20:] == 255).all()
    if form != 'GIF':  # which has 256 colours
        opaque = image.convert('RGBA').convert('RGB')
        np.testing.assert_array_equal(decoded[:20], np.asarray(opaque)[:20, :, ::-1])


def test_a_pixel_that_is_transparent_in_part_is_blended_with_white():
    pixels = np.full((2, 3, 4), (10, 20, 30, 51), np.uint8)
    decoded = decode_image(_bytes(Image.fromarray(pixels), 'PNG'))
    expected = [255 * 0.8 + value * 0.2 for value in (30, 20, 10)]
    assert np.abs(decoded - np.array(expected)).max() <= 1


def test_a_transparent_image_is_turned_as_its_orientation_says():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode_image(_bytes(_half_transparent(), 'PNG', exif=exif))
    assert turned.shape == (30, 40, 3)
    assert (turned[:, :20] == 255).all()


@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF', 'GIF', 'PPM', 'AVIF'])
def test_images_without_transparency_are_decoded_by_opencv(form):
    for image in (_rgb(), _rgb().convert('L'), _rgb().quantize(64), _rgb().convert('CMYK')):
        try:
            content = _bytes(image, form)
        except (OSError, ValueError):
            continue  # the format has no such images
        np.testing.assert_array_equal(decode_image(content), mmcv.imfrombytes(content))


def test_transparent_images_that_differ_where_they_are_opaque_look_different(inspect):
    pixels = np.zeros((2, 64, 64, 4), np.uint8)  # black, the shape in the opacity alone
    pixels[0, 8:20, :, 3] = pixels[1, :, 40:50, 3] = 255
    one, two = (inspect(_bytes(Image.fromarray(each), 'PNG')).look for each in pixels)
    assert one != two


@pytest.mark.parametrize('share', [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize('progressive', [False, True])
def test_a_jpeg_file_that_was_cut_short_is_not_decoded(share, progressive):
    content = _bytes(_rgb().resize((300, 400)), 'JPEG', progressive=progressive)
    with pytest.raises(ValueError, match='OpenCV cannot decode it'):
        decode_image(content[: int(share * len(content))])


@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF', 'GIF'])
def test_truncated_images_are_damaged(inspect, form):
    content = _bytes(_rgb(), form)
    assert inspect(content[: len(content) * 2 // 3]).fault.startswith('it is damaged: ')


@pytest.mark.parametrize(
    ('content', 'fault'),
    [
        (b'', 'the file is empty'),
        (b'<html>404</html>', 'it is not an image'),
        (_bomb(), 'it has more than 89,478,485 pixels'),
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
    assert inspect(_bytes(_rgb(), 'PNG')).fault.startswith('OpenCV cannot decode it')


def test_reading_decodes_once_by_each_library_and_no_more(tmp_path, monkeypatch):
    path, content = tmp_path / 'image.jpg', _bytes(_rgb(), 'JPEG')
    path.write_bytes(content)
    expected = decode_image(content)
    calls, decode = [], mmcv.imfrombytes
    monkeypatch.setattr(mmcv, 'imfrombytes', lambda data: calls.append(data) or decode(data))
    monkeypatch.setattr(image_file, 'phash', lambda image: calls.append('look'))
    np.testing.assert_array_equal(read_image(path), expected)
    assert calls == [content]


@pytest.mark.parametrize('form', ['JPEG', 'PNG'])
def test_reading_is_as_strict_as_inspecting(tmp_path, form):
    path, content = tmp_path / 'image', _bytes(_rgb(), form)
    for part in (content[: len(content) // 2], content[:-30], b'', b'text'):
        path.write_bytes(part)
        fault = inspect_image(path).fault
        assert fault
        with pytest.raises(UserError, match=re.escape(f'{path}: {fault}')):
            read_image(path)


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

        monkeypatch.setattr(Path, 'read_bytes', refuse)
    assert inspect_image(path).fault == 'it may not be read (no permission)'


def _save_all(folder):
    """A folder as people have them; returns which files are images."""
    folder.mkdir()
    image = _rgb()
    for name in ('a.JPG', 'b.jfif', 'c.png', 'no_suffix', 'photo.jpg.bak'):
        (folder / name).write_bytes(_bytes(image, 'JPEG'))
    (folder / 'd.avif').write_bytes(_bytes(image, 'AVIF'))
    (folder / 'inner').mkdir()
    (folder / 'inner' / 'e.webp').write_bytes(_bytes(image, 'WEBP'))
    (folder / 'notes.txt').write_text('not an image')
    (folder / 'scan.pdf').write_bytes(b'%PDF-1.7')
    (folder / 'gone').symlink_to(folder / 'nowhere')
    (folder / 'again').symlink_to(folder)
    # What systems leave behind is passed over without a word.
    for name in ('.DS_Store', '._a.JPG', 'Thumbs.db', 'desktop.ini'):
        (folder / name).write_bytes(b'x')
    (folder / '__MACOSX').mkdir()
    (folder / '__MACOSX' / 'a.jpg').write_bytes(b'x')


def test_every_file_of_a_folder_is_an_image_or_named(tmp_path):
    _save_all(tmp_path / 'folder')
    found = find_images(tmp_path / 'folder')
    names = ['a.JPG', 'b.jfif', 'c.png', 'd.avif', 'inner/e.webp', 'no_suffix', 'photo.jpg.bak']
    assert found.images == names
    assert set(found.others) == {'notes.txt', 'scan.pdf', 'gone', 'again'}
    assert 'link' in found.others['gone'] and 'link' in found.others['again']
    for name in names:
        assert decode_image((tmp_path / 'folder' / name).read_bytes()).shape == (40, 30, 3)


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / 'secret').mkdir()

    def refuse(path):
        raise PermissionError(13, 'Permission denied', path)

    monkeypatch.setattr(os, 'scandir', refuse)
    with pytest.raises(UserError, match=f'{tmp_path}.*Permission denied'):
        find_images(tmp_path)


HEIC = b'\0\0\0\x18ftypheic\0\0\0\0mif1heic' + bytes(64)


def test_heic_without_its_reader_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(image_file, '_formats', lambda: image_file.FORMATS)
    (tmp_path / 'phone.heic').write_bytes(HEIC)
    assert 'ecl-longtail[heic]' in find_images(tmp_path).others['phone.heic']
    assert 'ecl-longtail[heic]' in inspect_image(tmp_path / 'phone.heic').fault


def test_heic_is_read_with_its_reader(tmp_path):
    pillow_heif = pytest.importorskip('pillow_heif')
    grey = np.full((64, 48, 3), 90, np.uint8)
    pillow_heif.from_pillow(Image.fromarray(grey)).save(tmp_path / 'phone.heic', quality=90)
    assert find_images(tmp_path).images == ['phone.heic']
    assert inspect_image(tmp_path / 'phone.heic').fault == ''
    decoded = decode_image((tmp_path / 'phone.heic').read_bytes())
    assert np.abs(decoded.astype(int) - 90).max() <= 3


@pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P', 'RGBA', 'CMYK', 'I;16'])
@pytest.mark.parametrize('form', ['PNG', 'TIFF', 'JPEG'])
def test_images_of_every_mode_are_decoded_as_colour(mode, form):
    image = Image.fromarray(NOISE[..., 1]) if mode in ('1', 'L', 'LA', 'I;16') else _rgb()
    if mode == 'I;16':
        image = Image.fromarray(NOISE[..., 1].astype(np.uint16) * 256)
    elif image.mode != mode:
        image = image.convert(mode)
    try:
        content = _bytes(image, form)
    except OSError:
        pytest.skip(f'{form} has no {mode}')
    expected = np.asarray(_rgb().convert(mode).convert('RGB'))[..., ::-1]
    if mode in ('1', 'L', 'LA', 'I;16'):
        shown = NOISE[..., 1] if mode != '1' else np.asarray(image.convert('L'))
        expected = np.repeat(shown[..., None], 3, axis=2)
    tolerance = 40 if form == 'JPEG' else 0  # JPEG loses colour between neighbouring pixels
    difference = np.abs(decode_image(content).astype(int) - expected)
    assert difference.mean() <= tolerance
    assert difference.shape == (40, 30, 3)
