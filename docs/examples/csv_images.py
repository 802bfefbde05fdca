"""A dataset of one's own: images named in a table."""

import csv
import os
from typing import Any

from mmpretrain.datasets import BaseDataset

from ecl.registry import DATASETS


@DATASETS.register_module()
class CSVImages(BaseDataset):
    """Images and class names in the columns ``image`` and ``class`` of a CSV file.

    Args:
        ann_file: The table, within ``data_root``.
        data_root: Folder that the images' paths start from.
        classes: Class names in label order.
        **kwargs: ``pipeline`` and other arguments of MMPretrain's ``BaseDataset``.
    """

    def __init__(self, ann_file: str, data_root: str, classes: list[str], **kwargs: Any) -> None:
        super().__init__(ann_file, data_root=data_root, classes=classes, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One entry for each image; the pipeline reads the file."""
        with open(self.ann_file, newline='') as file:
            return [
                {
                    'img_path': os.path.join(self.data_root, row['image']),
                    'gt_label': self.CLASSES.index(row['class']),
                }
                for row in csv.DictReader(file)
            ]
