"""CIFAR-100-LT, IF 100, from the original pickles, with the augmentations of NCL's recipe.

The exponential profile keeps int(500 * 100 ** (-i / 99)) images of class i, as in LDAM-DRW and most
later code (``subset='cao'``).
"""

view = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='CIFARAutoAugment'),
    dict(type='Cutout', shape=16, prob=1.0, pad_val=128),
]
key_view = [
    dict(type='RandomResizedCrop', scale=32, crop_ratio_range=(0.2, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    # torchvision's jitter: that of MMPretrain reads the array as BGR.
    dict(type='NumpyToPIL'),
    dict(
        type='RandomApply',
        prob=0.8,
        transforms=[
            dict(
                type='torchvision/ColorJitter',
                brightness=0.4,
                contrast=0.4,
                saturation=0.4,
                hue=0.1,
            )
        ],
    ),
    dict(type='PILToNumpy'),
    dict(type='RandomGrayscale', prob=0.2, keep_channels=True, color_format='rgb'),
    dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=0.5),
]
train_pipeline = [
    dict(type='MultiView', num_views=[1, 1], transforms=[view, key_view]),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

# Over all processes: tools/train.py divides them.
images_per_step = 64
train_dataloader = dict(
    batch_size=images_per_step,
    num_workers=2,
    dataset=dict(
        type='LongTailDataset',
        imbalance_factor=100,
        max_per_class=500,
        subset='cao',
        dataset=dict(
            type='CIFAR100', data_root='data/cifar100', split='train', pipeline=train_pipeline
        ),
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=1,
    dataset=dict(
        type='CIFAR100',
        data_root='data/cifar100',
        split='test',
        pipeline=test_pipeline,
        test_mode=True,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='ShotAccuracy')
test_evaluator = val_evaluator

# MMPretrain's CIFAR datasets give RGB arrays.
data_preprocessor = dict(
    mean=[125.307, 122.961, 113.8575], std=[51.5865, 50.847, 51.255], to_rgb=False
)
