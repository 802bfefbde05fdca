import sys
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.fileio import io
from PIL import Image

from ecl.datasets import ImageCSV, LoadImage, count_classes, describe
from ecl.datasets.image_csv import parse_image_table
from ecl.errors import UserError

ROWS = [('a.jpg', 'owl'), ('x/b, c.jpg', 'barn owl'), ('d.jpg', 'NA'), ('e.jpg', '10')]


def rows_of(text, **columns):
    return [(row.path, row.label) for row in parse_image_table(text, 'birds.csv', **columns)]


@pytest.mark.parametrize('line_end', ['\n', '\r\n', '\r'])
@pytest.mark.parametrize('separator', [',', ';', '\t', '|'])
@pytest.mark.parametrize(
    'header', ['filename,label', 'Image Path,Class Name', 'id,species', 'IMG,Target', None]
)
def test_tables_of_every_origin_are_read(line_end, separator, header):
    lines = [header.replace(',', separator)] if header else []
    lines += [f'"{path}"{separator}"{label}"' for path, label in ROWS]
    assert rows_of(line_end.join(lines) + line_end) == ROWS


def test_other_columns_and_splits():
    table = parse_image_table(
        'id,width,split,label,file\n1,20,Train,cat,a\\b.png\n\n2,30,validation,dog, c.png\n'
        '3,10,TEST,cat,d.png\n4,9,extra,cat,e.png\n',
        'pets.csv',
    )
    assert [row.path for row in table] == ['a/b.png', 'c.png', 'd.png', 'e.png']
    assert [row.split for row in table] == ['train', 'val', 'test', 'extra']
    assert [row.line for row in table] == [2, 4, 5, 6]


def test_columns_may_be_named():
    text = 'photo,what,file\na.png,owl,x\n'
    assert rows_of(text, image='photo', label='what') == [('a.png', 'owl')]


@pytest.mark.parametrize(
    ('text', 'columns', 'fault'),
    [
        ('', {}, 'birds.csv lists no image'),
        ('filename,label\r\n', {}, 'birds.csv lists no image'),
        ('filename,label\na.png,owl\nb.png\n', {}, 'line 3: got 1 fields, expected 2'),
        ('filename,label\na.png,owl,x\n', {}, 'line 2: got 3 fields, expected 2'),
        ('a.png,owl\nb.png\n', {}, 'line 2: got 1 fields, expected 2'),
        ('a.png,owl\nb.png,bat,extra\n', {}, 'line 2: got 3 fields, expected 2'),
        ('a.png,owl\n"' + 200_000 * 'b', {}, 'line 2: field larger than .* Check its quotes'),
        ('filename,label\na.png,\n', {}, 'line 2: got no class'),
        ('filename,label\n,owl\n', {}, 'line 2: got no image'),
        ('photo,what,when\na,b,c\n', {}, 'no column for the image: got photo, what, when'),
        ('file,what,when\na,b,c\n', {}, 'no column for the label: .* class_name'),
        ('file,label\na,b\n', dict(label='kind'), "no column 'kind': got file, label"),
    ],
)
def test_faults_are_named(text, columns, fault):
    with pytest.raises(UserError, match=fault):
        rows_of(text, **columns)


@pytest.fixture
def root(tmp_path):
    lines = ['filename,label,split', 'a.png,wren,train', 'b.png,10,train', 'c.png,owl,train']
    lines += ['d.png,wren,test', 'e.png,owl,test', 'f.png,owl,val']
    (tmp_path / 'birds.csv').write_bytes('\r\n'.join(lines).encode('utf-8-sig'))
    return tmp_path


def test_splits_share_the_classes_of_the_training_rows(root, capfd):
    train = ImageCSV('birds.csv', data_root=str(root), split='train')
    test = ImageCSV('birds.csv', data_root=str(root), split='test')
    assert train.CLASSES == test.CLASSES == ('10', 'owl', 'wren')
    assert (count_classes(train), count_classes(test)) == ([1, 1, 1], [0, 1, 1])
    assert test.get_data_info(0) == {
        'img_path': f'{root}/d.png',
        'gt_label': 2,
        'sample_idx': 0,
    }
    assert "no image of 1 of 3 classes: '10'" in ''.join(capfd.readouterr())
    assert describe(test)['split'] == 'test'


def test_numbers_are_class_names_sorted_by_value(root):
    (root / 'numbers.csv').write_text('a.png,10\nb.png,2\nc.png,30\n')
    dataset = ImageCSV('numbers.csv', data_root=str(root))
    assert dataset.CLASSES == ('2', '10', '30')
    assert [dataset.get_data_info(i)['gt_label'] for i in range(3)] == [1, 0, 2]


def test_a_table_for_each_split_takes_the_classes_of_the_training_table(root):
    (root / 'train.csv').write_text('a.png,ape\nb.png,bee\nc.png,cow\n')
    (root / 'test.csv').write_text('d.png,ape\ne.png,cow\n')
    dataset = ImageCSV('test.csv', data_root=str(root))
    assert [dataset.get_data_info(i)['gt_label'] for i in range(2)] == [0, 2]
    (root / 'test.csv').write_text('d.png,ape\ne.png,gnu\n')
    with pytest.raises(UserError, match=r"test\.csv, line 2: unknown class: got 'gnu'.*'ape'"):
        ImageCSV('test.csv', data_root=str(root))
    dataset = ImageCSV('test.csv', data_root=str(root), classes=['gnu', 'ape'])
    assert count_classes(dataset) == [1, 1]


def test_images_are_read_with_a_suffix_below_a_prefix(root):
    (root / 'photos').mkdir()
    Image.fromarray(np.full((4, 5, 3), 9, np.uint8)).save(root / 'photos' / 'p.1.png')
    (root / 'ids.csv').write_text('id,breed\np.1,pug\n')
    dataset = ImageCSV(
        'ids.csv',
        data_root=str(root),
        data_prefix='photos',
        label_column='breed',
        suffix='.png',
        pipeline=[LoadImage()],
    )
    assert dataset[0]['img'].shape == (4, 5, 3)


def test_missing_tables_splits_and_paths_that_leave_the_root(root):
    with pytest.raises(UserError, match=r'none\.csv is missing'):
        ImageCSV('none.csv', data_root=str(root))
    with pytest.raises(UserError, match=r"no row of split 'dev': got 'test', 'train', 'val'"):
        ImageCSV('birds.csv', data_root=str(root), split='dev')
    (root / 'out.csv').write_text('../a.png,ape\n')
    with pytest.raises(UserError, match='not below the data root'):
        ImageCSV('out.csv', data_root=str(root))
    assert len(ImageCSV('out.csv', data_root=str(root), allow_outside=True)) == 1


def test_images_of_an_object_store_keep_their_address(tmp_path, monkeypatch):
    client = SimpleNamespace(Client=lambda **_: None)
    monkeypatch.setitem(sys.modules, 'petrel_client', SimpleNamespace(client=client))
    monkeypatch.setattr(io, 'backend_instances', {})
    table = tmp_path / 'birds.csv'
    table.write_text('image,class\na/1.jpg,owl\n')
    for prefix in ('s3://bucket/photos', 's3://bucket/photos/'):
        dataset = ImageCSV(ann_file=str(table), data_prefix=prefix)
        assert dataset.get_data_info(0)['img_path'] == 's3://bucket/photos/a/1.jpg'
