"""Read, sort and compare class names."""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from mmengine.fileio import exists, get
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES
from torch.utils.data import Subset

from ecl.errors import UserError


def class_names(dataset: Any) -> Sequence[str] | None:
    """Return the class names in the dataset's metainfo, in label order, or None without names."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return (getattr(dataset, 'metainfo', None) or {}).get('classes')


def known_num_classes(dataset: Any) -> int | None:
    """Return the number of class names in the dataset's metainfo, or None without names."""
    classes = class_names(dataset)
    return None if classes is None else len(classes)


def check_same_classes(
    trained: Sequence[str] | None, tested: Sequence[str] | None, name: str
) -> None:
    """Check that test data have the same class numbers as the training data.

    Args:
        trained: Class names of the training data in label order, or None if unknown.
        tested: Class names of the test data in label order, or None if unknown.
        name: Name of the test data in an error.

    Raises:
        UserError: If both are known and differ. The message names the classes or labels.
    """
    if trained is None or tested is None or tuple(trained) == tuple(tested):
        return
    unknown = [each for each in tested if each not in set(trained)]
    missing = [each for each in trained if each not in set(tested)]
    if unknown:
        fault = f'unknown classes {shorten(unknown)}'
    elif missing:
        fault = f'class {shorten(missing)} is missing, so the labels shift'
    else:
        label = next(i for i, name in enumerate(tested) if name != trained[i])
        fault = f'another order: label {label} is {tested[label]!r}, expected {trained[label]!r}'
    raise UserError(
        f'{name} has other classes than the training data: {fault}. Set the argument `classes` '
        'of the dataset to the classes of the training data.'
    )


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
    # As for the names of class folders.
    text = unicodedata.normalize('NFC', read_text(get(path), path))
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_text(content: bytes, name: str) -> str:
    """Decode a text file of any operating system: UTF-8 with or without BOM, or UTF-16 with BOM.

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


def shorten(names: Sequence[str]) -> str:
    """Return the first names of a list, and the number of the others.

    Example:
        >>> shorten(['ant', 'bee', 'cat', 'dog', 'emu', 'fox'])
        "'ant', 'bee', 'cat', 'dog', 'emu' and 1 more"
    """
    shown = ', '.join(map(repr, names[:_SHOWN]))
    return shown + (f' and {len(names) - _SHOWN} more' if names[_SHOWN:] else '')


#: Names that an error or a log line gives in full.
_SHOWN = 5


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
