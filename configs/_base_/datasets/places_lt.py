"""Places-LT: the public lists in data/places-lt/, the images of Places365 in data/places365/.

62,500 training images in 365 classes (4,980 to 5). Validation reads the list of 7,300 images that
PaCo and NCL report, the test that of 36,500 which SADE, MDCS and LIFT report. Layout of the small
images (256 x 256): ``data_256/a/airfield/00000001.jpg`` and ``val_256/Places365_val_00000001.jpg``.
"""

_base_ = './imagenet_lt.py'

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            data_prefix='places365', classes='places365', ann_file='places-lt/Places_LT_train.txt'
        )
    )
)
val_dataloader = dict(
    dataset=dict(
        data_prefix='places365', classes='places365', ann_file='places-lt/Places_LT_val.txt'
    )
)
test_dataloader = dict(
    dataset=dict(
        data_prefix='places365', classes='places365', ann_file='places-lt/Places_LT_test.txt'
    )
)
