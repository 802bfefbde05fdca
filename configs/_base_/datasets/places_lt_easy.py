"""Places-LT in the folders of the easy-format download: the same images as places_lt.py.

``train/airfield/00000001.jpg`` and ``val/airfield/Places365_val_00000001.jpg`` under
data/places365/; the lists of this layout in data/places-lt-easy/.
"""

_base_ = './places_lt.py'

train_dataloader = dict(dataset=dict(dataset=dict(ann_file='places-lt-easy/Places_LT_train.txt')))
val_dataloader = dict(dataset=dict(ann_file='places-lt-easy/Places_LT_val.txt'))
test_dataloader = dict(dataset=dict(ann_file='places-lt-easy/Places_LT_test.txt'))
