"""iNaturalist 2018: lists in data/inat2018-lt/, images in data/inat2018/train_val2018/.

437,513 training images in 8,142 classes (1,000 to 2), as they are in nature. The 24,426 validation
images (3 per class) are the usual test set: there is no other split, so report the last epoch.
"""

_base_ = './imagenet_lt.py'

# RIDE, SADE and BalPoE jitter the colours only on ImageNet-LT.
light_pipeline = [
    _base_.load,
    dict(type='RandomResizedCrop', scale=224, backend='pillow'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]

# Over all processes: tools/train.py divides them.
images_per_step = 512
train_dataloader = dict(
    batch_size=images_per_step,
    dataset=dict(
        dataset=dict(
            data_prefix='inat2018', classes=None, ann_file='inat2018-lt/iNaturalist18_train.txt'
        )
    ),
)
val_dataloader = dict(
    dataset=dict(data_prefix='inat2018', classes=None, ann_file='inat2018-lt/iNaturalist18_val.txt')
)
test_dataloader = val_dataloader

data_preprocessor = dict(mean=[118.83, 120.105, 96.9], std=[49.725, 49.47, 48.96])
