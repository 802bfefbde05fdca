import pytest

from ecl.apps.data.prepare_public import BENCHMARKS, prepare_public
from ecl.datasets import CIFAR100, ImageList
from ecl.errors import UserError


def _touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def _list(root, name, *paths):
    root.mkdir(parents=True, exist_ok=True)
    (root / f'{name}.txt').write_text(''.join(f'{path} {i}\n' for i, path in enumerate(paths)))


@pytest.fixture
def imagenet(tmp_path):
    lists = tmp_path / 'repo' / 'data_txt'
    _list(lists, 'ImageNet_LT_train', 'train/n01/a.JPEG', 'train/n02/b.JPEG')
    _list(lists, 'ImageNet_LT_val', 'train/n01/c.JPEG')
    _list(lists, 'ImageNet_LT_test', 'val/n01/d.JPEG', 'val/n02/e.JPEG')
    images = tmp_path / 'download' / 'CLS-LOC'
    _touch(images, *(f'train/{name}.JPEG' for name in ('n01/a', 'n02/b', 'n01/c')))
    return images, lists.parent, tmp_path / 'data'


def _opens(root, images, lists, *names):
    for name in names:
        dataset = ImageList(f'{lists}/{name}.txt', data_root=str(root), data_prefix=images)
        for index in range(len(dataset)):
            with open(dataset.get_data_info(index)['img_path'], 'rb'):
                pass


NAMES = ('ImageNet_LT_train', 'ImageNet_LT_val', 'ImageNet_LT_test')


@pytest.mark.parametrize('flat', [False, True])
def test_imagenet_in_class_folders_or_with_a_flat_validation_set(imagenet, flat):
    images, lists, root = imagenet
    _touch(
        images, *(('val/d.JPEG', 'val/e.JPEG') if flat else ('val/n01/d.JPEG', 'val/n02/e.JPEG'))
    )
    told = prepare_public('imagenet-lt', images, lists, root)
    _opens(root, 'imagenet', 'imagenet-lt', *NAMES)
    assert (root / 'imagenet' / 'train').is_symlink()
    assert (root / 'imagenet' / 'val').is_symlink() != flat
    assert told[-1] == 'list: ImageNet_LT_test (local variant)'
    assert prepare_public('imagenet-lt', images, lists, root) == told


@pytest.mark.parametrize(
    'folder', ['data_256/a/airfield', 'train/airfield'], ids=['standard', 'easy']
)
def test_places_takes_the_lists_of_the_layout_it_finds(tmp_path, folder):
    layouts = {
        'standard': ('data_256/a/airfield', 'val_256'),
        'easy': ('train/airfield', 'val/air'),
    }
    for name, (train, test) in layouts.items():
        _list(tmp_path / 'lists' / str(name), 'Places_LT_train', f'{train}/1.jpg')
        _list(tmp_path / 'lists' / str(name), 'Places_LT_val', f'{train}/2.jpg')
        _list(tmp_path / 'lists' / str(name), 'Places_LT_test', f'{test}/3.jpg')
        if train == folder:
            _touch(tmp_path / 'got', f'{train}/1.jpg', f'{train}/2.jpg', f'{test}/3.jpg')
    prepare_public('places-lt', tmp_path / 'got', tmp_path / 'lists', tmp_path / 'data')
    stems = ('Places_LT_train', 'Places_LT_val', 'Places_LT_test')
    _opens(tmp_path / 'data', 'places365', 'places-lt', *stems)


def test_inaturalist(tmp_path):
    _list(tmp_path, 'iNaturalist18_train', 'train_val2018/Aves/1/a.jpg')
    _list(tmp_path, 'iNaturalist18_val', 'train_val2018/Aves/1/b.jpg')
    _list(tmp_path, 'iNaturalist18_forward3', 'train_val2018/Aves/1/b.jpg')
    _touch(tmp_path / 'got', 'train_val2018/Aves/1/a.jpg', 'train_val2018/Aves/1/b.jpg')
    prepare_public('inat18', tmp_path / 'got', tmp_path, tmp_path / 'data')
    stems = ('iNaturalist18_train', 'iNaturalist18_val', 'iNaturalist18_forward3')
    _opens(tmp_path / 'data', 'inat2018', 'inat2018-lt', *stems)


@pytest.mark.parametrize('inside', ['', 'cifar-100-python'])
def test_cifar_is_checked_before_it_is_linked(tmp_path, monkeypatch, inside):
    folder = tmp_path / 'got' / 'cifar-100-python'
    folder.mkdir(parents=True)
    with pytest.raises(UserError, match='train is missing'):
        prepare_public('cifar100-lt', tmp_path / 'got' / inside, root=tmp_path / 'data')
    assert not (tmp_path / 'data').exists()
    monkeypatch.setattr(CIFAR100, '__init__', lambda self, root, split: None)
    prepare_public('cifar100-lt', tmp_path / 'got' / inside, root=tmp_path / 'data')
    assert (tmp_path / 'data/cifar100/cifar-100-python').resolve() == folder


def test_what_is_missing_is_named_and_nothing_linked(imagenet):
    images, lists, root = imagenet
    faults = [
        (images / 'nowhere', lists, 'nowhere is not a folder'),
        (images, None, 'imagenet-lt needs its split lists: name their folder with --lists'),
        (images, images, 'has no ImageNet_LT_train.txt; .* lists are ImageNet_LT_train.txt, '),
        (images, lists, r'ImageNet_LT_test.txt names val/n01/d.JPEG, which is not in .*CLS-LOC'),
    ]
    for given, listed, message in faults:
        with pytest.raises(UserError, match=message):
            prepare_public('imagenet-lt', given, listed, root)
    assert not root.exists()


def test_what_is_in_the_way_stays(imagenet):
    images, lists, root = imagenet
    _touch(images, 'val/n01/d.JPEG', 'val/n02/e.JPEG')
    (root / 'imagenet' / 'val').mkdir(parents=True)
    with pytest.raises(UserError, match=r'imagenet/val already exists'):
        prepare_public('imagenet-lt', images, lists, root)
    assert not (root / 'imagenet' / 'train').exists()


def test_the_benchmarks_have_names():
    assert set(BENCHMARKS) == {'imagenet-lt', 'places-lt', 'inat18', 'cifar100-lt', 'cifar10-lt'}
