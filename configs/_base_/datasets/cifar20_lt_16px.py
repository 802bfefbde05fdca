"""CIFAR-20-LT at 16 x 16: every fifth class of CIFAR-100, IF 100, for experiments on a CPU.

From class folders, data/cifar100/{train,test}/<class>/<image>: 2,295 training images in 20 classes
(500 to 5; 7 many-, 7 medium-, 6 few-shot), tested on all 2,000 test images of these classes. Each
image is averaged down to 16 x 16 and kept in memory, so that an epoch takes seconds and a network
of 14 layers fits the training data as closely as the long recipes do theirs at full size.

``train_pipeline`` shows one view of an image, ``two_view_pipeline`` adds the key view that the
contrastive branch needs.
"""

classes = [
    'apple',
    'bed',
    'bowl',
    'camel',
    'chair',
    'couch',
    'dolphin',
    'girl',
    'lamp',
    'lobster',
    'mouse',
    'otter',
    'plain',
    'rabbit',
    'rose',
    'skunk',
    'squirrel',
    'tank',
    'train',
    'whale',
]
load = dict(
    type='Cached',
    transforms=[
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=16, interpolation='area'),
    ],
)
view = [
    dict(type='RandomCrop', crop_size=16, padding=2),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
]
# As at 32 x 32 but without blur, which leaves little of an image of this size.
key_view = [
    dict(type='RandomResizedCrop', scale=16, crop_ratio_range=(0.2, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(
        type='RandomApply',
        prob=0.8,
        transforms=[
            dict(
                type='ColorJitter',
                brightness=0.4,
                contrast=0.4,
                saturation=0.4,
                hue=0.1,
                backend='cv2',
            )
        ],
    ),
    dict(type='RandomGrayscale', prob=0.2, keep_channels=True),
]
train_pipeline = [load, *view, dict(type='PackInputs')]
two_view_pipeline = [
    load,
    dict(type='MultiView', num_views=[1, 1], transforms=[view, key_view]),
    dict(type='PackInputs'),
]
test_pipeline = [load, dict(type='PackInputs')]

# Over all processes: tools/train.py divides them.
images_per_step = 64
train_dataloader = dict(
    batch_size=images_per_step,
    num_workers=0,
    dataset=dict(
        type='LongTailDataset',
        imbalance_factor=100,
        max_per_class=500,
        dataset=dict(
            type='ImageFolder',
            data_root='data/cifar100',
            split='train',
            classes=classes,
            pipeline=train_pipeline,
        ),
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    dataset=dict(
        type='ImageFolder',
        data_root='data/cifar100',
        split='test',
        classes=classes,
        pipeline=test_pipeline,
        test_mode=True,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
val_evaluator = dict(type='ShotAccuracy')
test_dataloader = val_dataloader
test_evaluator = val_evaluator

data_preprocessor = dict(
    mean=[125.307, 122.961, 113.8575], std=[51.5865, 50.847, 51.255], to_rgb=True
)
