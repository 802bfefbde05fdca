import io
import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from ecl.apps.data import verify as module
from ecl.apps.data.verify import KINDS, check_data, print_report, repeated_lines, unlike_public
from ecl.datasets import Digits, ImageList
from ecl.datasets.protocol import PublicList
from ecl.errors import UserError
from ecl.registry import DATASETS

DIGITS = Path(__file__).parents[3] / 'configs' / 'ecl' / 'ecl_r8_digits-lt.py'
# Serializing collects garbage each time, which would take most of the tests' time.
CONFIG = """
model = dict(head=dict(type='ECLHead', num_classes=3))
train = dict(type='ImageList', data_root={root!r}, ann_file='train.txt', serialize_data=False)
test = dict(type='ImageList', data_root={root!r}, ann_file='test.txt', serialize_data=False)
pipeline = [dict(type='PackInputs')]
train_dataloader = dict(
    dataset=dict(type='LongTailDataset', dataset=dict(pipeline=pipeline, **train)))
val_dataloader = dict(dataset=test)
test_dataloader = dict(dataset=dict(pipeline=pipeline, **test))
"""
TRAIN = ['0.png 0', '1.png 1', '2.png 2', '3.png 0']
TEST = ['4.png 0', '5.png 1', '6.png 2']


@pytest.fixture
def check(tmp_path, fresh_engine_state):
    """Examine lists of seven small images after a change to lists or files."""
    for number in range(7):
        pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'{number}.png')
    (tmp_path / 'config.py').write_text(CONFIG.format(root=str(tmp_path)))

    def check(train=TRAIN, test=TEST, **arguments):
        (tmp_path / 'train.txt').write_text('\n'.join(train))
        (tmp_path / 'test.txt').write_text('\n'.join(test))
        return check_data(tmp_path / 'config.py', tmp_path / 'work', 1, **arguments)

    return check


def test_sound_data_have_no_fault(check):
    report = check()
    assert report.sound
    assert list(report.splits) == ['train', 'val, test']
    train = report.splits['train']
    assert (train['num_images'], train['largest'], train['smallest']) == (4, 2, 1)
    assert report.notes == ['list: train (local)', 'list: test (local)']


@pytest.mark.parametrize(
    ('train', 'test', 'kind', 'told'),
    [
        (['gone.png 0', *TRAIN], TEST, 'images', r'gone\.png: the file is missing'),
        (
            [*TRAIN, '0.png cat'],
            TEST,
            'source',
            r"train: .*train\.txt, line 5: invalid label: got 'cat'",
        ),
        ([*TRAIN, '0.png -1'], TEST, 'source', r'line 5: negative label: got -1'),
        ([*TRAIN, '0.png'], TEST, 'source', r"line 5: '0.png' has no label"),
        ([''], TEST, 'source', r'train.txt lists no image'),
        ([*TRAIN, '5.png 3'], ['6.png 0'], 'labels', r'train: .*LongTailDataset: got 3'),
        (['0.png 0', '2.png 2'], TEST, 'empty', r'train: class 1$'),
        ([*TRAIN, '0.png 0'], TEST, 'repeated', r'line 5 repeats the image of line 1: 0.png'),
        ([*TRAIN, '4.png 0'], TEST, 'leak', r'val, test: .*4.png is .*4.png of the training data'),
    ],
)
def test_faults_of_lists(check, train, test, kind, told):
    report = check(train, test)
    assert list(report.faults) == [kind]
    assert len(report.faults[kind]) == 1
    assert re.search(told, report.faults[kind][0])


def test_blank_and_tabbed_lines_are_no_fault(check):
    assert check(['', *TRAIN[:3], '  ', '3.png\t0', '']).sound


def test_copies_are_found_by_content(check, tmp_path):
    for copy, of in (('copy.png', '4.png'), ('twin.png', '1.png')):
        (tmp_path / copy).write_bytes((tmp_path / of).read_bytes())
    report = check([*TRAIN, 'copy.png 0', 'twin.png 2'])
    assert set(report.faults) == {'leak', 'ambiguous'}
    assert report.faults['leak'][0].endswith('copy.png of the training data')
    assert report.faults['ambiguous'][0].endswith('1.png and copies of it: labels 1, 2')
    assert '1 training images are copies of others' in report.notes
    accepted = check([*TRAIN, 'copy.png 0', 'twin.png 2'], accept=['leak', 'ambiguous'])
    assert accepted.sound
    assert sum(note.startswith('accepted: ') for note in accepted.notes) == 2


def test_damaged_files_are_found_and_mended_ones_pass(check, tmp_path):
    sound = (tmp_path / '5.png').read_bytes()
    (tmp_path / '5.png').write_bytes(sound[: len(sound) // 2])
    report = check()
    assert report.faults['images'][0].startswith(f'{tmp_path}/5.png: it is damaged')
    (tmp_path / '5.png').write_bytes(sound)
    assert check().sound


def test_a_test_set_without_some_classes_is_only_noted(check):
    report = check(test=['5.png 1', '6.png 2'])
    assert report.sound
    assert any('has no image of 1 of the 3 classes' in note for note in report.notes)


def test_missing_and_undecodable_lists_are_told(check, tmp_path):
    (tmp_path / 'config.py').write_text(
        CONFIG.format(root=str(tmp_path)).replace('train.txt', 'gone.txt')
    )
    assert 'gone.txt is missing' in check().faults['source'][0]
    (tmp_path / 'gone.txt').write_bytes('grün.png 0\n'.encode('latin-1'))
    assert 'gone.txt is not UTF-8 text' in check().faults['source'][0]


def test_a_report_is_plain_and_prints_all_kinds(check):
    report = check([*(f'gone{number}.png 0' for number in range(12)), *TRAIN, '[b]x[/b].png 1'])
    assert json.loads(json.dumps(asdict(report)))['faults'] == report.faults
    console = Console(file=io.StringIO(), width=80)
    print_report(report, console)
    text = console.file.getvalue()
    assert f'{KINDS["images"]} (13' in text
    assert 'and 3 more' in text
    assert 'Faults found' in text


def test_a_dataset_that_decodes_its_images_is_examined_without(check, tmp_path):
    config = tmp_path / 'config.py'
    text = config.read_text().replace(
        'test_dataloader = dict(dataset=dict(pipeline=pipeline, **test))',
        "test_dataloader = dict(dataset=dict(type='InMemoryDataset', dataset=test))",
    )
    config.write_text(text)
    assert check().sound


@DATASETS.register_module()
class Archive(Digits):
    """A dataset whose pipeline would read the pixels."""

    def get_data_info(self, idx):
        info = super().get_data_info(idx)
        return {key: value for key, value in info.items() if key != 'img'}


def test_images_that_a_pipeline_reads_from_an_archive_are_only_noted(tmp_path, fresh_engine_state):
    options = {'train_dataloader.dataset.dataset.type': 'Archive'}
    report = check_data(DIGITS, tmp_path, cfg_options=options)
    assert report.sound
    assert report.splits['train']['num_images'] == 331
    assert [note for note in report.notes if note.startswith('train: images are not examined')]


def test_images_in_memory(tmp_path, fresh_engine_state):
    report = check_data(DIGITS, tmp_path)
    assert report.sound
    assert report.splits['train']['num_images'] == 331
    assert not list(tmp_path.iterdir())


def test_a_configuration_that_cannot_be_used_is_told(tmp_path):
    with pytest.raises(UserError, match=r'nowhere.py does not exist'):
        check_data('nowhere.py')


def test_repeated_lines_are_named_with_both_numbers():
    content = 'a b.png 0\n\nc.png 1\r\na b.png 0\nd.png 1\nc.png\t2\n'
    assert list(repeated_lines(content, 'x.txt')) == [
        'x.txt, line 4 repeats the image of line 1: a b.png',
        'x.txt, line 6 repeats the image of line 3 with label 2 instead of 1: c.png',
    ]


@pytest.mark.parametrize(
    ('name', 'content', 'differs'),
    [
        ('Birds_train', 'a 0\nb 0\nc 1\n', False),
        ('Birds_train', 'x 1\ny 0\nz 0\n', False),
        ('Birds_train', 'a 0\nb 0\n', True),
        ('Birds_train', 'a 0\nb 1\nc 2\n', True),
        ('mine', 'a 0\n', False),
    ],
)
def test_only_the_counts_under_a_public_name_must_agree(
    tmp_path, monkeypatch, name, content, differs
):
    monkeypatch.setattr(module, 'PUBLIC_LISTS', (PublicList('Birds_train', 'x', 3, 2, 2, 1),))
    (tmp_path / f'{name}.txt').write_text(content)
    told = unlike_public(ImageList(f'{name}.txt', data_root=str(tmp_path)))
    assert bool(told) == differs
    assert not differs or 'the public Birds_train has 3, 2 to 1' in told


FOLDERS = """
model = dict(head=dict(type='ECLHead', num_classes={classes}))
data = dict(type={kind!r}, data_root={root!r})
train_dataloader = dict(dataset=dict({place}='train', **data))
val_dataloader = dict(dataset=dict({place}='test', **data))
test_dataloader = val_dataloader
"""


@pytest.fixture
def check_folders(tmp_path, fresh_engine_state):
    """Examine training folders a, b, c and test folders a, c."""
    number = 0
    for split, names in (('train', 'abc'), ('test', 'ac')):
        for name in names:
            (tmp_path / split / name).mkdir(parents=True)
            number += 1
            pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / split / name / 'image.png')

    def check(kind):
        place = 'split' if kind == 'ImageFolder' else 'data_prefix'
        text = FOLDERS.format(classes=3, kind=kind, root=str(tmp_path), place=place)
        (tmp_path / 'folders.py').write_text(text)
        return check_data(tmp_path / 'folders.py', tmp_path / 'work', 1)

    return check


def test_a_test_folder_that_lacks_a_class_is_sound_and_said(check_folders, tmp_path, capfd):
    (tmp_path / 'train' / 'a' / 'notes.txt').write_text('text')
    report = check_folders('ImageFolder')
    assert report.sound
    assert any("no image of 1 of 3 classes: 'b'" in note for note in report.notes)
    assert any('a/notes.txt' in note for note in report.notes)
    assert report.splits['val, test']['num_classes'] == 3
    assert capfd.readouterr().out == ''


def test_shifted_labels_are_a_fault_that_names_the_class(check_folders):
    report = check_folders('CustomDataset')
    (fault,) = report.faults['labels']
    assert "class 'b' is missing, so the labels shift" in fault
