import numpy as np
import pytest
from PIL import Image

from ecl.apps.commands.data import prepare
from ecl.apps.data import resize
from ecl.apps.data.resize import resize_images
from ecl.errors import UserError


@pytest.fixture
def photos(tmp_path):
    """Three photographs, one of them turned by its EXIF entry, one small."""
    folder = tmp_path / 'photos'
    (folder / 'a/deep').mkdir(parents=True)
    ramp = np.linspace(0, 255, 600, dtype=np.uint8)
    wide = Image.fromarray(np.broadcast_to(ramp[None, :, None], (400, 600, 3)).copy())
    wide.save(folder / 'a/wide.jpg', quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    wide.save(folder / 'a/deep/turned.JPEG', quality=95, exif=exif)
    wide.resize((60, 40)).save(folder / 'small.png')
    return folder


def test_copies_have_the_short_side_and_the_same_content(photos, tmp_path):
    out = tmp_path / 'out'
    assert resize_images(photos, out, short_side=100) == (3, 0)
    found = {str(p.relative_to(out)): Image.open(p) for p in out.rglob('*.*')}
    assert {name: image.size for name, image in found.items()} == {
        'a/wide.jpg': (150, 100),
        'a/deep/turned.JPEG': (100, 150),
        'small.png': (60, 40),
    }
    row = np.asarray(found['a/wide.jpg'].convert('L'))[50].astype(int)
    assert np.abs(row - np.linspace(0, 255, 150)).max() < 5
    column = np.asarray(found['a/deep/turned.JPEG'].convert('L'))[:, 50].astype(int)
    assert np.abs(column - np.linspace(0, 255, 150)).max() < 5
    assert (out / 'small.png').read_bytes() == (photos / 'small.png').read_bytes()


def test_nothing_is_overwritten_and_a_second_call_goes_on(photos, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    copy, done = resize._copy, []

    def interrupted(name, **options):
        if done:
            raise KeyboardInterrupt
        done.append(name)
        return copy(name, **options)

    monkeypatch.setattr(resize, '_copy', interrupted)
    with pytest.raises(KeyboardInterrupt):
        resize_images(photos, out, 100, workers=1)
    monkeypatch.setattr(resize, '_copy', copy)
    (out / done[0]).write_text('mine')
    assert resize_images(photos, out, 100) == (2, 1)
    assert (out / done[0]).read_text() == 'mine'
    assert not list(out.rglob('.*'))


def test_lists_say_which_images(photos, tmp_path, capsys):
    lists = tmp_path / 'lists'
    lists.mkdir()
    (lists / 'train.txt').write_text('a/wide.jpg 0\nelsewhere.jpg 1\n')
    out = tmp_path / 'out'
    prepare(['resize', str(photos), '--out', str(out), '--short-side', '80', '--lists', str(lists)])
    assert [p.name for p in out.rglob('*.*')] == ['wide.jpg']
    assert f'1 copies in {out}; 0 already existed' in capsys.readouterr().out


def test_what_cannot_be_read_is_named_and_the_rest_is_copied(photos, tmp_path):
    (photos / 'broken.jpg').write_bytes((photos / 'a/wide.jpg').read_bytes()[:900])
    with pytest.raises(UserError, match=r'1 of 4 images cannot be read.*broken.jpg \('):
        resize_images(photos, tmp_path / 'out', 100)
    assert len(list((tmp_path / 'out').rglob('*.*'))) == 3


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(short_side=0), '--short-side must be at least 1, not 0'),
        (dict(source='nowhere'), 'nowhere is not a folder'),
        (dict(out='photos/small'), '--out photos/small is inside photos'),
        (dict(lists='nowhere'), '--lists nowhere is not a folder'),
    ],
)
def test_bad_input_is_one_line(photos, tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        resize_images(**{'source': 'photos', 'out': 'out', **change})


@pytest.mark.parametrize('compression', ['tiff_lzw', 'tiff_adobe_deflate', None])
def test_a_compressed_tiff_is_resized(tmp_path, compression):
    (tmp_path / 'in').mkdir()
    Image.new('RGB', (400, 200), 'teal').save(tmp_path / 'in/a.tif', compression=compression)
    assert resize_images(tmp_path / 'in', tmp_path / 'out', 100) == (1, 0)
    with Image.open(tmp_path / 'out/a.tif') as copy:
        assert copy.size == (200, 100)
        assert copy.getpixel((50, 50)) == (0, 128, 128)


@pytest.mark.parametrize('suffix', ['.png', '.gif', '.bmp'])
def test_an_image_of_a_palette_is_resized_between_its_colours(tmp_path, suffix):
    (tmp_path / 'in').mkdir()
    stripes = Image.fromarray(np.tile(np.uint8([0, 1]), (400, 200)), 'P')
    stripes.putpalette([255, 0, 0, 0, 0, 255])
    stripes.save(tmp_path / f'in/a{suffix}')
    resize_images(tmp_path / 'in', tmp_path / 'out', 100)
    with Image.open(tmp_path / f'out/a{suffix}') as copy:
        red, _, blue = copy.convert('RGB').getpixel((50, 50))
    assert abs(red - 127) < 40 and abs(blue - 127) < 40


def test_an_image_of_a_palette_stays_transparent(tmp_path):
    (tmp_path / 'in').mkdir()
    half = Image.fromarray(np.repeat(np.uint8([[0], [1]]), 200, 0).repeat(400, 1), 'P')
    half.putpalette([255, 0, 0, 0, 0, 255])
    half.save(tmp_path / 'in/a.png', transparency=0)
    resize_images(tmp_path / 'in', tmp_path / 'out', 100)
    with Image.open(tmp_path / 'out/a.png') as copy:
        pixels = copy.convert('RGBA')
    assert pixels.getpixel((50, 10))[3] == 0
    assert pixels.getpixel((50, 90)) == (0, 0, 255, 255)
