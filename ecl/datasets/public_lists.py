"""Public split lists, recognized by their content."""

import hashlib
from typing import NamedTuple


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
