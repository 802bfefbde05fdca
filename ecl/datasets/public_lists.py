"""Public split lists, recognized by their content, and class names of public datasets."""

import hashlib
from typing import NamedTuple

from mmpretrain.datasets.categories import IMAGENET_CATEGORIES


class PublicList(NamedTuple):
    """A list that published results were obtained on.

    Attributes:
        name: File name without extension.
        blob: Content sum, see :func:`blob_sum`.
        images: Number of lines.
        classes: Number of classes C of the dataset.
        most: Images of the largest class.
        least: Images of the smallest class; 0 where the list leaves classes out.
    """

    name: str
    blob: str
    images: int
    classes: int
    most: int
    least: int


PUBLIC_LISTS = tuple(
    PublicList(*row)
    for row in (
        ('ImageNet_LT_train', 'a063f095fcd475db4cf8b0658c4b73955535bbf9', 115846, 1000, 1280, 5),
        ('ImageNet_LT_val', '3ed3188b2f44829ce2dec1cc27040d8d40984088', 20000, 1000, 20, 20),
        ('ImageNet_LT_test', '76a2fb9749d6cd29e765cc4f8c270f2504131e2f', 50000, 1000, 50, 50),
        ('ImageNet_LT_forward50', 'fd6b9017529a6d6663984c72f384efca22c7910e', 12058, 1000, 50, 1),
        ('ImageNet_LT_backward50', '3bb919f1383a5b442791a737bd55bcb7d3542556', 12058, 1000, 50, 1),
        ('Places_LT_train', '1d608b558c25c271da75c06f1e5e3625a4ebcb79', 62500, 365, 4980, 5),
        ('Places_LT_val', '89c29c0973328f77d7a77a8b580634ce20acdc11', 7300, 365, 20, 20),
        ('Places_LT_test', 'd43400ac9bc2275baa058456da40b20abb50b108', 36500, 365, 100, 100),
        ('Places_LT_forward50', 'c4bb41c41922de6517a81be5418b0f609a5dcbe9', 8989, 365, 100, 2),
        ('Places_LT_backward50', '412501c8d0c23ac7a934a24628c37b3b9f909a05', 8989, 365, 100, 2),
        # The same images in the folders of the easy-format download.
        ('Places_LT_train', '6392252f8ae867bc8a5e841cc1b29e5b8ef4b636', 62500, 365, 4980, 5),
        ('Places_LT_val', 'b93a2ca58ccb7f3b671c176f395a70bf52c95533', 7300, 365, 20, 20),
        ('Places_LT_test', 'e732e58b8aa718a2c1c11933375f5710652c2b93', 36500, 365, 100, 100),
        ('iNaturalist18_train', '4accdb7584d2f0a5106c40a33ed6afa392189bcc', 437513, 8142, 1000, 2),
        ('iNaturalist18_val', '4c23900857fd0f5adcd4cc0dffef345039eeb05f', 24426, 8142, 3, 3),
        ('iNaturalist18_forward3', 'd02d9c6f718257d7190b54dc5754df0668851fe4', 11147, 8142, 3, 0),
        ('iNaturalist18_backward3', '90153d693619162cbbb94061eed7261c61ff2a60', 11137, 8142, 3, 0),
    )
)


def blob_sum(content: bytes) -> str:
    """Compute the sum by which git, and so the repositories of the lists, names a content.

    It tells the public list from another one. It is no protection against forgery.

    Example:
        >>> blob_sum(b'')
        'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return hashlib.sha1(b'blob %d\0' % len(content) + content, usedforsecurity=False).hexdigest()


def find_public_list(blob: str) -> PublicList | None:
    """Return the public list with this content, or None.

    Args:
        blob: Content sum, see :func:`blob_sum`.
    """
    return next((entry for entry in PUBLIC_LISTS if entry.blob == blob), None)


def list_record(name: str, blob: str) -> str:
    """Describe a list for the protocol.

    Args:
        name: File name without extension.
        blob: Content sum, see :func:`blob_sum`.

    Returns:
        '<public name> (public, verified)' for a public list, under any file name; '<name> (local
        variant)' for other content under the name of one; '<name> (local)' else.

    Example:
        >>> list_record('ImageNet_LT_val', blob_sum(b'a.jpg 0'))
        'ImageNet_LT_val (local variant)'
    """
    public = find_public_list(blob)
    if public:
        return f'{public.name} (public, verified)'
    variant = name in {entry.name for entry in PUBLIC_LISTS}
    return f'{name} (local variant)' if variant else f'{name} (local)'


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
PLACES365 = tuple(_PLACES365.split())

#: Class names in label order, which the lists lack, by the name that ``ImageList(classes=...)``
#: takes.
CLASS_NAMES = {'imagenet': tuple(IMAGENET_CATEGORIES), 'places365': PLACES365}
