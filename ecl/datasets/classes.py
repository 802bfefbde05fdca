"""Classes of a dataset: labels and image counts as it was built, and class names."""

import os
import pickle
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset, ClassBalancedDataset, RepeatDataset
from mmengine.fileio import exists, get
from mmpretrain.datasets import BaseDataset as ClassificationDataset
from mmpretrain.datasets import KFoldDataset
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES
from torch.utils.data import ConcatDataset, Subset

from ecl.errors import UserError


def gt_labels(dataset: Any) -> np.ndarray:
    """Return the label of every image, in the order of the dataset's indices.

    Walks through repeated, concatenated, class-balanced, k-fold and subset wrappers. An image that
    a wrapper shows twice counts twice, one that it hides does not count.

    Args:
        dataset: A classification dataset of MMPretrain or of this package, or a wrapper of one.

    Returns:
        Labels, shape (N,), int64.

    Raises:
        UserError: If the dataset does not give one whole number as the label of each image.
    """
    return _walk(dataset)[0]


def count_classes(dataset: Any, num_classes: int | None = None) -> list[int]:
    """Count how often an epoch shows the images of each class.

    These are the counts for the prior of a loss. A repeated image counts as often as it is shown;
    :func:`count_distinct` counts it once.

    Args:
        dataset: As in :func:`gt_labels`.
        num_classes: Number of classes C of the model. Defaults to the number of class names of the
            dataset, else to the largest label plus one.

    Returns:
        C plain integers; a class without images has 0.

    Raises:
        UserError: If ``num_classes`` is not that of the dataset, or a label is out of range.

    Example:
        >>> from ecl.datasets import Digits
        >>> count_classes(Digits(split='test'))
        [50, 50, 50, 50, 50, 50, 50, 50, 50, 50]
    """
    return _count(gt_labels(dataset), dataset, num_classes)


def count_distinct(dataset: Any) -> list[int]:
    """Count the distinct images of each class, whatever a wrapper repeats.

    These are the counts for the shot groups. Result and errors are those of :func:`count_classes`.

    Example:
        >>> from mmengine.dataset import RepeatDataset
        >>> from ecl.datasets import Digits
        >>> count_distinct(RepeatDataset(Digits(split='test'), times=2))[:3]
        [50, 50, 50]
    """
    labels, images = _walk(dataset)
    first = np.unique(images, return_index=True)[1]
    return _count(labels[first], dataset, None)


def class_names(dataset: Any) -> Sequence[str] | None:
    """Return the class names in the dataset's metainfo, in label order, or None without names."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return (getattr(dataset, 'metainfo', None) or {}).get('classes')


def known_num_classes(dataset: Any) -> int | None:
    """Return the number of class names in the dataset's metainfo, or None without names."""
    classes = class_names(dataset)
    return None if classes is None else len(classes)


def _count(labels: np.ndarray, dataset: Any, num_classes: int | None) -> list[int]:
    name = type(dataset).__name__
    named = known_num_classes(dataset)
    if num_classes is not None and named is not None and num_classes != named:
        raise UserError(
            f'num_classes={num_classes} does not fit the data: {name} has {named} classes. '
            f'Set num_classes={named} in the model, or choose the dataset that belongs to it.'
        )
    size = num_classes or named or int(labels.max(initial=-1)) + 1
    strange = labels[(labels < 0) | (labels >= size)]
    if strange.size:
        raise UserError(
            f'label out of range in {name}: got {strange[0]}, expected 0 to {size - 1} with {size} '
            'classes. Correct the labels or num_classes.'
        )
    return np.bincount(labels, minlength=size).tolist()


def _walk(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the label of each index and a number that tells which image it shows, both (N,)."""
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    if isinstance(dataset, ConcatDataset):
        labels, images = zip(*map(_walk, dataset.datasets), strict=True)
        sizes = [1 + part.max(initial=-1) for part in images]
        offsets = np.cumsum([0, *sizes[:-1]])
        shifted = [part + offset for part, offset in zip(images, offsets, strict=True)]
        return np.concatenate(labels), np.concatenate(shifted)
    if isinstance(dataset, KFoldDataset):  # it has taken its part of the source already
        return _walk(dataset.dataset)
    if isinstance(dataset, RepeatDataset):
        labels, images = _walk(dataset.dataset)
        return np.tile(labels, dataset.times), np.tile(images, dataset.times)
    if (indices := _source_indices(dataset)) is not None:
        labels, images = _walk(dataset.dataset)
        return labels[indices], images[indices]
    labels = _whole_numbers(_own_labels(dataset), dataset)
    return labels, np.arange(len(labels))


def _source_indices(dataset: Any) -> np.ndarray | None:
    """Return which indices of its source a wrapper shows, (N,); None for any other dataset."""
    if isinstance(dataset, ClassBalancedDataset):
        return np.asarray(dataset.repeat_indices, dtype=np.int64)
    if isinstance(dataset, Subset):
        return np.asarray(dataset.indices, dtype=np.int64)
    return getattr(dataset, 'source_indices', None)


def _own_labels(dataset: Any) -> Any:
    cls = type(dataset)
    plain_labels = getattr(cls, 'get_gt_labels', None) in (
        None,
        ClassificationDataset.get_gt_labels,
    )
    plain_info = getattr(cls, 'get_data_info', None) is BaseDataset.get_data_info
    if plain_labels and plain_info:
        return [info.get('gt_label') for info in _annotations(dataset)]
    if hasattr(dataset, 'get_gt_labels'):
        # The runner's num_batch_per_epoch hides the tail of a dataset but not of this list.
        return dataset.get_gt_labels()[: len(dataset)]
    if hasattr(dataset, 'get_data_info'):
        return [dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))]
    raise UserError(
        f'{cls.__name__} gives no labels: expected a method get_gt_labels() that returns the label '
        'of each image. Add one.'
    )


def _annotations(dataset: BaseDataset) -> list[dict]:
    # One pass over the serialized annotations. get_data_info, made for single images, takes
    # several times as long, which is seconds for large datasets.
    if not dataset.serialize_data:
        return dataset.data_list
    packed = memoryview(dataset.data_bytes)
    ends = dataset.data_address.tolist()
    return [pickle.loads(packed[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def _whole_numbers(labels: Any, dataset: Any) -> np.ndarray:
    try:
        array = np.asarray(labels)
    except ValueError:  # lists of different lengths
        array = np.empty(0, dtype=object)
    if array.size == 0 and len(labels) == 0:
        return np.zeros(0, dtype=np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise UserError(
            f'{type(dataset).__name__}: the gt_label of each image must be one whole number. '
            'Long-tailed classification needs single-label data.'
        )
    return array.astype(np.int64)


#: Names that an error or a log line gives in full.
_SHOWN = 5


def sort_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Sort class names: by value if all are whole numbers, else alphabetically.

    Example:
        >>> sort_classes(['10', '2', '1'])
        ('1', '2', '10')
    """
    names = list(names)
    if all(name.isascii() and name.isdigit() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def read_classes(classes: str | Sequence[str] | None) -> Sequence[str] | None:
    """Return class names in label order.

    Args:
        classes: The names, or the name of a known dataset ('imagenet', 'places365'), or a text
            file with one name a line. None stays None.

    Raises:
        UserError: If there is no such file.
    """
    if not isinstance(classes, str):
        return classes
    if classes in CLASS_NAMES:
        return CLASS_NAMES[classes]
    path = os.path.expanduser(classes)
    if not exists(path):
        raise UserError(
            f'classes: {path} is missing, expected a file with one class name a line, or one of '
            + ', '.join(CLASS_NAMES)
        )
    # As the names of class folders are.
    text = unicodedata.normalize('NFC', read_text(get(path), path))
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_text(content: bytes, name: str) -> str:
    """Decode a text file of any system: UTF-8 with or without BOM, or UTF-16 with BOM.

    Args:
        content: Content of the file.
        name: Its name in an error, such as its path.

    Raises:
        UserError: If it is neither.
    """
    encoding = 'utf-16' if content[:2] in (b'\xff\xfe', b'\xfe\xff') else 'utf-8-sig'
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UserError(f'{name} is not UTF-8 text: {error}. Save it as UTF-8.') from error


def check_same_classes(
    trained: Sequence[str] | None, tested: Sequence[str] | None, name: str
) -> None:
    """Check that test data number the classes as the training data did.

    Args:
        trained: Class names of the training data in label order, or None if unknown.
        tested: Class names of the test data in label order, or None if unknown.
        name: Name of the test data in an error.

    Raises:
        UserError: If both are known and differ; it names the classes or the labels in question.
    """
    if trained is None or tested is None or tuple(trained) == tuple(tested):
        return
    unknown = [each for each in tested if each not in set(trained)]
    missing = [each for each in trained if each not in set(tested)]
    if unknown:
        fault = f'unknown classes {shorten(unknown)}'
    elif missing:
        fault = f'no class {shorten(missing)}, so that labels shift'
    else:
        label = next(i for i, name in enumerate(tested) if name != trained[i])
        fault = f'another order: label {label} is {tested[label]!r}, expected {trained[label]!r}'
    raise UserError(
        f'{name} has other classes than the training data: {fault}. Give the dataset those of the '
        'training data by its argument `classes`.'
    )


def shorten(names: Sequence[str]) -> str:
    """Return the first names of a list, and the number of the others.

    Example:
        >>> shorten(['ant', 'bee', 'cat', 'dog', 'emu', 'fox'])
        "'ant', 'bee', 'cat', 'dog', 'emu' and 1 more"
    """
    shown = ', '.join(map(repr, names[:_SHOWN]))
    return shown + (f' and {len(names) - _SHOWN} more' if names[_SHOWN:] else '')


_PLACES365 = """
    airfield airplane_cabin airport_terminal alcove alley amphitheater amusement_arcade
    amusement_park apartment_building/outdoor aquarium aqueduct arcade arch
    archaelogical_excavation archive arena/hockey arena/performance arena/rodeo army_base
    art_gallery art_school art_studio artists_loft assembly_line athletic_field/outdoor
    atrium/public attic auditorium auto_factory auto_showroom badlands bakery/shop
    balcony/exterior balcony/interior ball_pit ballroom bamboo_forest bank_vault banquet_hall
    bar barn barndoor baseball_field basement basketball_court/indoor bathroom bazaar/indoor
    bazaar/outdoor beach beach_house beauty_salon bedchamber bedroom beer_garden beer_hall berth
    biology_laboratory boardwalk boat_deck boathouse bookstore booth/indoor botanical_garden
    bow_window/indoor bowling_alley boxing_ring bridge building_facade bullring burial_chamber
    bus_interior bus_station/indoor butchers_shop butte cabin/outdoor cafeteria campsite campus
    canal/natural canal/urban candy_store canyon car_interior carrousel castle catacomb cemetery
    chalet chemistry_lab childs_room church/indoor church/outdoor classroom clean_room cliff
    closet clothing_store coast cockpit coffee_shop computer_room conference_center
    conference_room construction_site corn_field corral corridor cottage courthouse courtyard
    creek crevasse crosswalk dam delicatessen department_store desert_road desert/sand
    desert/vegetation diner/outdoor dining_hall dining_room discotheque doorway/outdoor
    dorm_room downtown dressing_room driveway drugstore elevator/door elevator_lobby
    elevator_shaft embassy engine_room entrance_hall escalator/indoor excavation fabric_store
    farm fastfood_restaurant field/cultivated field_road field/wild fire_escape fire_station
    fishpond flea_market/indoor florist_shop/indoor food_court football_field forest/broadleaf
    forest_path forest_road formal_garden fountain galley garage/indoor garage/outdoor
    gas_station gazebo/exterior general_store/indoor general_store/outdoor gift_shop glacier
    golf_course greenhouse/indoor greenhouse/outdoor grotto gymnasium/indoor hangar/indoor
    hangar/outdoor harbor hardware_store hayfield heliport highway home_office home_theater
    hospital hospital_room hot_spring hotel/outdoor hotel_room house hunting_lodge/outdoor
    ice_cream_parlor ice_floe ice_shelf ice_skating_rink/indoor ice_skating_rink/outdoor iceberg
    igloo industrial_area inn/outdoor islet jacuzzi/indoor jail_cell japanese_garden
    jewelry_shop junkyard kasbah kennel/outdoor kindergarden_classroom kitchen lagoon
    lake/natural landfill landing_deck laundromat lawn lecture_room legislative_chamber
    library/indoor library/outdoor lighthouse living_room loading_dock lobby lock_chamber
    locker_room mansion manufactured_home market/indoor market/outdoor marsh martial_arts_gym
    mausoleum medina mezzanine moat/water mosque/outdoor motel mountain mountain_path
    mountain_snowy movie_theater/indoor museum/indoor museum/outdoor music_studio
    natural_history_museum nursery nursing_home oast_house ocean office office_building
    office_cubicles oilrig operating_room orchard orchestra_pit pagoda palace pantry park
    parking_garage/indoor parking_garage/outdoor parking_lot pasture patio pavilion pet_shop
    pharmacy phone_booth physics_laboratory picnic_area pier pizzeria playground playroom plaza
    pond porch promenade pub/indoor racecourse raceway raft railroad_track rainforest reception
    recreation_room repair_shop residential_neighborhood restaurant restaurant_kitchen
    restaurant_patio rice_paddy river rock_arch roof_garden rope_bridge ruin runway sandbox
    sauna schoolhouse science_museum server_room shed shoe_shop shopfront shopping_mall/indoor
    shower ski_resort ski_slope sky skyscraper slum snowfield soccer_field stable
    stadium/baseball stadium/football stadium/soccer stage/indoor stage/outdoor staircase
    storage_room street subway_station/platform supermarket sushi_bar swamp swimming_hole
    swimming_pool/indoor swimming_pool/outdoor synagogue/outdoor television_room
    television_studio temple/asia throne_room ticket_booth topiary_garden tower toyshop
    train_interior train_station/platform tree_farm tree_house trench tundra
    underwater/ocean_deep utility_room valley vegetable_garden veterinarians_office viaduct
    village vineyard volcano volleyball_court/outdoor waiting_room water_park water_tower
    waterfall watering_hole wave wet_bar wheat_field wind_farm windmill yard youth_hostel
    zen_garden
"""

#: Class names of known datasets in label order, by the name that ``classes`` takes.
CLASS_NAMES: dict[str, tuple[str, ...]] = {
    'imagenet': tuple(IMAGENET_CATEGORIES),
    'places365': tuple(_PLACES365.split()),
}
