"""CIFAR-100-LT, IF 100, from class folders, decoded once and augmented batch by batch.

The images and distributions of cifar100_lt_folder.py at a fraction of the time: ``strong_view`` and
``key_view`` are those of NCL's recipe, ``light_view`` is that of single networks (RIDE, OpenLT).
"""

# Files are read as BGR; the conversion to PIL makes them RGB arrays.
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='NumpyToPIL', to_rgb=True),
    dict(type='PILToNumpy'),
    dict(type='PackInputs'),
]
crop_and_flip = [
    dict(type='BatchRandomCrop', crop_size=32, padding=4),
    dict(type='BatchRandomFlip'),
]
light_view = crop_and_flip + [dict(type='BatchRandomRotation', degrees=15)]
strong_view = crop_and_flip + [
    dict(type='BatchCIFARAutoAugment'),
    dict(type='BatchCutout', shape=16),
]
key_view = [
    dict(type='BatchRandomResizedCrop', scale=32, crop_ratio_range=(0.2, 1.0)),
    dict(type='BatchRandomFlip'),
    dict(
        type='BatchColorJitter',
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.1,
        prob=0.8,
    ),
    dict(type='BatchRandomGrayscale', prob=0.2),
    dict(type='BatchGaussianBlur', magnitude_range=(0.1, 2.0), prob=0.5),
]

# Over all processes: tools/train.py divides them.
images_per_step = 128
train_dataloader = dict(
    batch_size=images_per_step,
    num_workers=0,
    dataset=dict(
        type='InMemoryDataset',
        dataset=dict(
            type='LongTailDataset',
            imbalance_factor=100,
            max_per_class=500,
            # The usual subset depends on the order of the original archive, which these files do
            # not have.
            subset='random',
            dataset=dict(
                type='ImageFolder', data_root='data/cifar100', split='train', pipeline=pipeline
            ),
        ),
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    dataset=dict(
        type='InMemoryDataset',
        dataset=dict(
            type='ImageFolder',
            data_root='data/cifar100',
            split='test',
            pipeline=pipeline,
            test_mode=True,
        ),
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ShotAccuracy')
test_evaluator = val_evaluator

data_preprocessor = dict(
    type='MultiViewDataPreprocessor',
    mean=[125.307, 122.961, 113.8575],
    std=[51.5865, 50.847, 51.255],
    to_rgb=False,
    views=[strong_view],
)
