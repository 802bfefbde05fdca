import pytest
from mmpretrain.datasets import BaseDataset


class Labelled(BaseDataset):
    """Images without pixels: the annotation of image i is its number and its label."""

    def __init__(self, labels, **kwargs):
        self.labels = labels
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self):
        return [{'number': i, 'gt_label': label} for i, label in enumerate(self.labels)]


@pytest.fixture
def labelled():
    """Build a dataset from labels alone."""
    return Labelled
