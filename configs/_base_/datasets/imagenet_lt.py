"""ImageNet-LT: the public lists in data/imagenet-lt/, the images of ILSVRC 2012 in data/imagenet/.

115,846 training images in 1,000 classes (1,280 to 5), 20,000 for validation, 50,000 for test.
"""

# The policies of timm's plain RandAugment. Those of 'timm_increasing' posterize to 0 bits at level
# 10, which is a black image, and invert where these leave the image as it is.
policies = [
    dict(type='AutoContrast'),
    dict(type='Equalize'),
    dict(type='Invert'),
    # If this were one value, OpenCV would fill the corners blue.
    dict(type='Rotate', magnitude_key='angle', magnitude_range=(0, 30), pad_val=(128, 128, 128)),
    dict(type='Posterize', magnitude_key='bits', magnitude_range=(0, 4)),
    dict(type='Solarize', magnitude_key='thr', magnitude_range=(0, 256)),
    dict(type='SolarizeAdd', magnitude_key='magnitude', magnitude_range=(0, 110)),
    *[
        dict(
            type=name,
            magnitude_key='magnitude',
            magnitude_range=(-0.9, 0.9),
            random_negative_prob=0.0,
        )
        for name in ('ColorTransform', 'Contrast', 'Brightness', 'Sharpness')
    ],
    *[
        dict(type=name, magnitude_key='magnitude', magnitude_range=(0, most), direction=direction)
        for name, most in (('Shear', 0.3), ('Translate', 0.45))
        for direction in ('horizontal', 'vertical')
    ],
]
load = dict(type='LoadImage')
view = [
    dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(0.08, 1.0), backend='pillow'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(
        type='RandAugment',
        policies=policies,
        num_policies=2,
        total_level=10,
        magnitude_level=10,
        magnitude_std=0.0,
    ),
]
key_view = [
    dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(0.2, 1.0), backend='pillow'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(
        type='RandomApply',
        prob=0.8,
        transforms=[
            dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
        ],
    ),
    dict(type='RandomGrayscale', prob=0.2, keep_channels=True),
    dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=0.5),
]
train_pipeline = [
    load,
    dict(type='MultiView', num_views=[1, 1], transforms=[view, key_view]),
    dict(type='PackInputs'),
]
# One view, for methods without a contrastive branch.
light_pipeline = [
    load,
    dict(type='RandomResizedCrop', scale=224, backend='pillow'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='PackInputs'),
]
test_pipeline = [
    load,
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]

# Over all processes: tools/train.py divides them.
images_per_step = 256
train_dataloader = dict(
    batch_size=images_per_step,
    num_workers=16,
    persistent_workers=True,
    dataset=dict(
        type='LongTailDataset',
        dataset=dict(
            type='ImageList',
            data_root='data',
            data_prefix='imagenet',
            classes='imagenet',
            ann_file='imagenet-lt/ImageNet_LT_train.txt',
            pipeline=train_pipeline,
        ),
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
    dataset=dict(
        type='ImageList',
        data_root='data',
        data_prefix='imagenet',
        classes='imagenet',
        ann_file='imagenet-lt/ImageNet_LT_val.txt',
        pipeline=test_pipeline,
        test_mode=True,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
test_dataloader = dict(
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
    dataset=dict(
        type='ImageList',
        data_root='data',
        data_prefix='imagenet',
        classes='imagenet',
        ann_file='imagenet-lt/ImageNet_LT_test.txt',
        pipeline=test_pipeline,
        test_mode=True,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
val_evaluator = dict(type='ShotAccuracy')
test_evaluator = val_evaluator

data_preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
