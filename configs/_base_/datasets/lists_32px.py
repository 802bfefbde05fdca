"""Any small images named in lists, shown at 32 x 32; ecl prepare names the lists."""

load = dict(type='LoadImage')
resize = dict(type='ResizeEdge', scale=32, edge='short', backend='pillow')
view = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
]
key_view = [
    dict(type='RandomResizedCrop', scale=32, crop_ratio_range=(0.2, 1.0)),
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
train_pipeline = [
    load,
    resize,
    dict(type='MultiView', num_views=[1, 1], transforms=[view, key_view]),
    dict(type='PackInputs'),
]
test_pipeline = [
    load,
    resize,
    dict(type='CenterCrop', crop_size=32),
    dict(type='PackInputs'),
]

# Over all processes: tools/train.py divides them.
images_per_step = 64
train_dataloader = dict(
    batch_size=images_per_step,
    num_workers=2,
    # BatchNorm needs at least two images in a batch.
    drop_last=True,
    dataset=dict(
        type='LongTailDataset',
        dataset=dict(
            type='ImageList',
            data_root='data/mine',
            ann_file='train.txt',
            classes=None,
            pipeline=train_pipeline,
        ),
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    dataset=dict(
        type='ImageList',
        data_root='data/mine',
        ann_file='test.txt',
        classes=None,
        pipeline=test_pipeline,
        test_mode=True,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ShotAccuracy')
test_evaluator = val_evaluator

data_preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
