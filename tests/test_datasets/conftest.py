import pytest
from mmpretrain.datasets import BaseDataset


class Labelled(BaseDataset):
    """Images without pixels: the annotation of image i is its number and its label."""

    # Serializing collects garbage each time, which would take most of the tests' time.
    def __init__(self, labels, serialize_data=False, **kwargs):
        self.labels = labels
        super().__init__(ann_file='', serialize_data=serialize_data, **kwargs)

    def load_data_list(self):
        return [{'number': i, 'gt_label': label} for i, label in enumerate(self.labels)]


@pytest.fixture
def labelled():
    """Build a dataset from labels alone."""
    return Labelled
