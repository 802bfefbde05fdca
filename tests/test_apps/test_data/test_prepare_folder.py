import io
import shutil
from pathlib import Path, PureWindowsPath

import pytest
from mmengine.config import Config
from rich.console import Console

from ecl.apis import load_config, train
from ecl.apis.config import find_config
from ecl.apps.data import prepare_folder as module
from ecl.apps.data.config_text import check_base
from ecl.apps.data.prepare_folder import prepare_csv, prepare_folder
from ecl.apps.data.summary import print_summary
from ecl.datasets import ImageList, count_classes
from ecl.errors import UserError


def _dataset(out, split, root):
    return ImageList(
        str(out / f'{split}.txt'), data_root=str(root), classes=str(out / 'classes.txt')
    )


def test_lists_classes_and_counts(birds, tmp_path):
    prepared = prepare_folder(birds, tmp_path / 'out' / 'mine', test=2, val=1)
    out = prepared.out
    assert sorted(path.name for path in out.iterdir()) == [
        'classes.txt',
        'config.py',
        'left_out.txt',
        'test.txt',
        'train.txt',
        'val.txt',
    ]
    # In label order: capitals before small letters, as sorted() has them.
    assert (out / 'classes.txt').read_text('utf-8').split('\n') == ['Uhu é', 'grey heron', '雀', '']
    expected = {'train': [5, 9, 2], 'val': [1] * 3, 'test': [2] * 3}
    seen = []
    for split, counts in expected.items():
        dataset = _dataset(out, split, birds)
        assert count_classes(dataset) == prepared.counts(split) == counts
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            path = Path(info['img_path'])
            assert path.relative_to(birds).parts[0] == dataset.CLASSES[info['gt_label']]
            seen.append(path)
    assert len(set(seen)) == len(seen) == 25
    assert (out.stat().st_mode & 0o777) == (birds.stat().st_mode & 0o777)


def test_unreadable_images_are_left_out_and_told(birds, tmp_path):
    (birds / '雀' / 'cut.png').write_bytes((birds / '雀/no 4.png').read_bytes()[:200])
    (birds / '雀' / 'zero.jpg').touch()
    (birds / '雀' / 'copy.png').write_bytes((birds / '雀/no 4.png').read_bytes())
    shutil.copy(birds / '雀/no 1.jpg', birds / '雀' / 'line\nend.jpg')
    prepared = prepare_folder(birds, tmp_path / 'mine', test=1)
    told = (tmp_path / 'mine' / 'left_out.txt').read_text('utf-8').splitlines()
    reasons = dict(line.split('\t') for line in told)
    assert reasons['雀/cut.png'].startswith('it is damaged')
    assert reasons['雀/zero.jpg'] == 'the file is empty'
    assert reasons['雀/line\\nend.jpg'].startswith('a list cannot hold its name')
    assert not set(reasons) & {path for path, _ in prepared.split.train}
    text = _printed(prepared)
    assert f'Left out: {len(reasons)} files' in text
    assert '雀/cut.png: it is damaged' in text


def _printed(prepared):
    console = Console(file=io.StringIO(), width=80)
    print_summary(prepared, console)
    return console.file.getvalue()


def test_config_trains(birds, tmp_path, fresh_engine_state):
    out = prepare_folder(birds, tmp_path / 'mine', test=1, val=1).out
    options = {
        'train_cfg.max_epochs': 1,
        'train_dataloader.num_workers': 0,
        'val_dataloader.num_workers': 0,
        'model.backbone.backbone.depth': 8,
    }
    record = train(out / 'config.py', work_dir=tmp_path / 'work', cfg_options=options)
    assert record['class_counts'] == [6, 10, 3]
    assert record['protocol']['list'] == 'train (local)'
    assert record['protocol']['evaluated']['num_images'] == 3
    assert 'shot/few' in record['metrics']


def test_config_without_validation_validates_on_the_test_list(birds, tmp_path):
    out = prepare_folder(birds, tmp_path / 'mine').out
    cfg = load_config(out / 'config.py')
    assert cfg.val_dataloader.dataset.ann_file == cfg.test_dataloader.dataset.ann_file
    assert cfg.model.head.num_classes == 3
    assert cfg.work_dir == 'work_dirs/mine'
    assert cfg.train_dataloader.batch_size <= 5


def test_folder_of_lists_may_move(birds, tmp_path):
    out = prepare_folder(birds, tmp_path / 'mine').out
    out.rename(tmp_path / 'moved')
    cfg = Config.fromfile(tmp_path / 'moved' / 'config.py')
    assert cfg.train_dataloader.dataset.dataset.ann_file == f'{tmp_path}/moved/train.txt'


def test_a_folder_with_an_apostrophe_is_read(birds, tmp_path):
    out = prepare_folder(birds, tmp_path / "o'neil" / "it's").out
    cfg = load_config(out / 'config.py')
    assert cfg.train_dataloader.dataset.dataset.ann_file == f'{out}/train.txt'
    assert cfg.work_dir == "work_dirs/it's"


@pytest.mark.parametrize('name', ['a"b', 'a\\b'])
def test_a_folder_that_a_configuration_cannot_hold_is_refused(birds, tmp_path, name):
    with pytest.raises(UserError, match='got a path with a double quote or a backslash'):
        prepare_folder(birds, tmp_path / name / 'mine')


class FolderOfWindows(PureWindowsPath):
    def exists(self):
        return False

    is_symlink = exists

    def absolute(self):
        return FolderOfWindows('C:/') / self


def test_a_folder_of_windows_is_not_refused_for_its_separators(monkeypatch):
    monkeypatch.setattr(module, 'Path', FolderOfWindows)
    module._check_free('data\\mine')
    with pytest.raises(UserError, match='double quote'):
        module._check_free('data\\"mine')


def test_small_images_have_the_experts_that_were_asked_for(birds, tmp_path):
    for experts, number in ((None, 3), (2, 2)):
        out = prepare_folder(birds, tmp_path / str(experts), experts=experts).out
        assert load_config(out / 'config.py').model.backbone.num_experts == number
    with pytest.raises(UserError, match=r'experts: got 0, expected a whole number of at least 1'):
        prepare_folder(birds, tmp_path / 'mine', experts=0)
    with pytest.raises(UserError, match=r'--experts 1: ecl_r32_lists-32px, .* --experts 2 or more'):
        prepare_folder(birds, tmp_path / 'mine', experts=1)


@pytest.mark.parametrize(('size', 'crop'), [((12, 90), 32), ((300, 200), 224)])
def test_base_suits_the_size_of_the_images(tmp_path, write_image, size, crop):
    for seed in range(6):
        write_image(tmp_path / 'x' / f'class{seed % 2}' / f'{seed}.jpg', seed, size)
    out = prepare_folder(tmp_path / 'x', tmp_path / 'mine').out
    cfg = Config.fromfile(out / 'config.py')
    assert cfg.test_dataloader.dataset.pipeline[2].crop_size == crop


LISTS = """
mark = 1
model = dict(type='X')
lists = dict(dataset=dict(type='ImageList', data_prefix='photos'))
train_dataloader = dict(dataset=lists)
val_dataloader = test_dataloader = lists
"""


def test_another_base_may_be_named(birds, tmp_path):
    (tmp_path / 'base.py').write_text(LISTS)
    out = prepare_folder(birds, tmp_path / 'mine', base=tmp_path / 'base.py').out
    cfg = Config.fromfile(out / 'config.py')
    assert cfg.mark == 1
    assert cfg.test_dataloader.dataset.data_prefix == ''  # paths start from data_root
    assert 'contrast' not in cfg.model  # nor in the base
    with pytest.raises(UserError, match=r'nowhere.py does not exist'):
        prepare_folder(birds, tmp_path / 'other', base=tmp_path / 'nowhere.py')


def test_a_base_without_lists_of_images_is_refused(birds, tmp_path):
    for base in ('ecl_r32_cifar100-lt-if100', tmp_path / 'base.py'):
        (tmp_path / 'base.py').write_text("model = dict(type='X')\n")
        with pytest.raises(UserError, match=r'--base .*: got .*, expected ImageList') as caught:
            prepare_folder(birds, tmp_path / 'mine', base=base)
        assert 'ecl_r50_lists-224px' in str(caught.value)
    fitting = str(caught.value).rpartition('such as in ')[2].split(', ')
    for name in fitting:
        check_base(find_config(name))
    assert not (tmp_path / 'mine').exists()


def test_weights_that_do_not_exist_are_told_before_the_work(birds, tmp_path):
    with pytest.raises(UserError, match=r'--pretrained nofile\.pth: the file does not exist'):
        prepare_folder(birds, tmp_path / 'mine', pretrained='nofile.pth')


def test_the_folder_of_the_images_stays_as_it_is(birds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob('*'))
    for out in (birds / 'out', birds / 'a' / 'b', birds.relative_to(tmp_path) / 'out'):
        with pytest.raises(UserError, match='is inside the folder of the images'):
            prepare_folder(birds, out)
    assert sorted(tmp_path.rglob('*')) == before


@pytest.mark.parametrize('fault', ['split', 'class', 'interrupt', 'config'])
def test_nothing_is_written_when_something_fails(birds, tmp_path, monkeypatch, fault):
    error, test = UserError, 1
    if fault == 'split':
        test = 6
    elif fault == 'class':
        for path in (birds / '雀').rglob('*.*'):
            path.is_file() and path.write_bytes(b'')
    elif fault == 'config':
        monkeypatch.setattr(module, 'config_texts', lambda *args: 1 / 0)
        error = ZeroDivisionError
    else:

        def interrupt(path, lines):
            raise KeyboardInterrupt

        monkeypatch.setattr(module, '_save', interrupt)
        error = KeyboardInterrupt
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(error) as caught:
        prepare_folder(birds, tmp_path / 'mine', test=test)
    assert sorted(tmp_path.rglob('*')) == before
    if fault == 'class':
        assert 'has no image that can be read' in str(caught.value)


def test_what_exists_is_never_overwritten(birds, tmp_path):
    (tmp_path / 'mine').mkdir()
    with pytest.raises(UserError, match=r'mine exists already; remove it or choose another'):
        prepare_folder(birds, tmp_path / 'mine')


def test_a_place_that_cannot_be_written_is_named(birds, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=r'file/mine cannot be created'):
        prepare_folder(birds, tmp_path / 'file' / 'mine')


@pytest.fixture
def divided(birds, tmp_path):
    """The birds, one of each class to validate and two to test."""
    for name in ('grey heron', 'Uhu é', '雀'):
        images = sorted(path for path in (birds / name).rglob('*.*') if path.name != 'Thumbs.db')
        for index, path in enumerate(images):
            split = 'test' if index < 2 else 'val' if index < 3 else 'train'
            (tmp_path / 'divided' / split / name).mkdir(parents=True, exist_ok=True)
            path.rename(tmp_path / 'divided' / split / name / f'{index}{path.suffix}')
    return tmp_path / 'divided'


def test_a_division_is_kept_and_trains(divided, tmp_path, fresh_engine_state):
    prepared = prepare_folder(divided, tmp_path / 'mine')
    counts = {split: prepared.counts(split) for split in ('train', 'val', 'test')}
    assert counts == {'train': [5, 9, 2], 'val': [1, 1, 1], 'test': [2, 2, 2]}
    for split in counts:
        lines = (tmp_path / 'mine' / f'{split}.txt').read_text('utf-8').splitlines()
        assert {line.split('/')[0] for line in lines} == {split}
    assert 'split into training and test images is kept' in _printed(prepared)
    cfg = load_config(tmp_path / 'mine' / 'config.py')
    assert cfg.val_dataloader.dataset.ann_file != cfg.test_dataloader.dataset.ann_file
    with pytest.raises(UserError, match='already split into training and test images'):
        prepare_folder(divided, tmp_path / 'other', test=1)


def test_a_table_with_names_of_classes_is_prepared(birds, tmp_path):
    rows = ['Filename;Label']
    for name in ('grey heron', 'Uhu é', '雀'):
        paths = sorted((birds / name).rglob('*.*'))
        images = [path.relative_to(birds) for path in paths if path.name != 'Thumbs.db']
        rows += [f'"{path}";{name}'.replace('/', '\\') for path in images]
    table = tmp_path / 'birds.csv'
    table.write_bytes('\r\n'.join([*rows, 'gone.png;雀']).encode('utf-8-sig'))
    prepared = prepare_csv(table, tmp_path / 'mine', root=birds, test=1)
    assert prepared.classes == ('Uhu é', 'grey heron', '雀')
    assert prepared.counts('train') == [7, 11, 4]
    assert prepared.split.left_out == {'gone.png': 'the file is missing'}
    dataset = _dataset(prepared.out, 'train', birds)
    assert count_classes(dataset) == [7, 11, 4]


@pytest.mark.parametrize('name', [' owl', 'owl ', 'o\nwl', 'o\x85wl', 'o\u2028wl', 'o\x1cwl'])
def test_a_class_name_that_the_list_cannot_hold_is_named(birds, tmp_path, write_image, name):
    write_image(birds / name / '1.png', 90)
    with pytest.raises(UserError, match=r"cannot hold a name: got '.*o.*wl.*', expected") as caught:
        prepare_folder(birds, tmp_path / 'mine')
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / 'mine').exists()


def test_classes_without_test_images_are_told(divided, tmp_path):
    for path in (divided / 'test' / '雀').iterdir():
        path.unlink()
    assert "Classes without test images: '雀'\n" in _printed(
        prepare_folder(divided, tmp_path / 'mine')
    )


def test_small_classes_are_for_training_only_if_asked_for(birds, divided, tmp_path):
    prepared = prepare_folder(divided / 'train', tmp_path / 'mine', untested_below=3)
    assert prepared.counts('train')[2] == 2
    assert prepared.counts('test')[2] == 0
    text = _printed(prepared)
    assert "Classes without test images: '雀'\n" in text
    with pytest.raises(UserError, match='already split into training and test images'):
        prepare_folder(divided, tmp_path / 'other', untested_below=3)
    with pytest.raises(UserError, match='--untested-below: got images with groups'):
        prepare_folder(divided / 'train', tmp_path / 'other', untested_below=3, group_by='1')


def test_added_photographs_keep_the_test_images(birds, tmp_path, write_image):
    old = prepare_folder(birds, tmp_path / 'old', test=2, val=1)
    for index in range(5):
        write_image(birds / '雀' / f'new {index}.png', 900 + index)
        write_image(birds / 'dodo' / f'{index}.png', 800 + index)
    gone = old.split.test[0][0]
    (birds / gone).unlink()
    prepared = prepare_folder(birds, tmp_path / 'mine', keep=tmp_path / 'old')
    paths = {
        split: [{path for path, _ in getattr(each.split, split)} for each in (old, prepared)]
        for split in ('test', 'val', 'train')
    }
    assert paths['test'][0] - paths['test'][1] == {gone}
    assert paths['test'][1] < paths['test'][0]
    assert paths['val'][0] == paths['val'][1]
    assert len(paths['train'][1] - paths['train'][0]) == 10
    assert prepared.split.left_out[gone].startswith('the file is missing, and was in ')
    assert "Classes without test images: 'dodo'" in _printed(prepared)


def test_a_kept_division_that_does_not_fit_says_why(birds, divided, tmp_path):
    with pytest.raises(UserError, match=r'--keep .*mine: got no test\.txt'):
        prepare_folder(divided / 'train', tmp_path / 'mine', keep=tmp_path / 'mine')
    old = prepare_folder(divided, tmp_path / 'old').out
    with pytest.raises(UserError, match='none of its test images is in '):
        prepare_folder(divided / 'train', tmp_path / 'mine', keep=old)
    with pytest.raises(UserError, match='remove the other options that split'):
        prepare_folder(divided / 'train', tmp_path / 'mine', keep=old, test=1)
    with pytest.raises(UserError, match='already split into training and test images'):
        prepare_folder(divided, tmp_path / 'mine', keep=old)


SPLITS = ('train', 'test')


@pytest.fixture
def shops(tmp_path, write_image):
    """Two classes from six shops, a folder each below the class."""
    for name in ('apple', 'pear'):
        for shop in range(6):
            for index in range(2 + (name == 'apple')):
                seed = 100 * shop + 10 * index + (name == 'apple')
                write_image(tmp_path / 'fruit' / name / f'shop{shop}' / f'{index}.png', seed)
    return tmp_path / 'fruit'


@pytest.mark.parametrize('rule', ['2', r'shop\d', r'/(shop)(\d)/'])
def test_images_of_a_group_stay_in_one_split(shops, tmp_path, rule):
    prepared = prepare_folder(shops, tmp_path / 'mine', test=0.34, group_by=rule)
    of_split = [{path.split('/')[1] for path, _ in getattr(prepared.split, s)} for s in SPLITS]
    train, test = of_split
    assert len(train) == 4
    assert len(test) == 2
    assert not train & test
    assert 'Groups stay in one split: 4 for train, 0 for val, 2 for test.' in _printed(prepared)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(group_by='3'), '--group-by 3: no folder number 3 in .*apple'),
        (dict(group_by='store'), '--group-by store: no match in'),
        (dict(group_by='('), 'not a regular expression'),
        (dict(group_by='1'), 'got 2 groups, expected at least 4'),
        (dict(group_by='2', test=3), 'groups.* --test-fraction'),
    ],
)
def test_groups_that_cannot_be_kept_say_why(shops, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        prepare_folder(shops, tmp_path / 'mine', **options)
    assert not (tmp_path / 'mine').exists()


def test_a_column_names_the_groups(shops, tmp_path):
    paths = sorted(path.relative_to(shops).as_posix() for path in shops.rglob('*.png'))
    rows = ['file,label,camera', *(f'{p},{p.split("/")[0]},{p.split("/")[1]}' for p in paths)]
    (tmp_path / 'fruit.csv').write_text('\n'.join(rows))
    prepared = prepare_csv(
        tmp_path / 'fruit.csv', tmp_path / 'mine', root=shops, columns=dict(group='camera')
    )
    train, test = (
        {path.split('/')[1] for path, _ in getattr(prepared.split, name)} for name in SPLITS
    )
    assert test
    assert not train & test
