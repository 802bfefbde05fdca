"""Own photographs named in lists, for a network with ImageNet weights.

Training images have 176 x 176 pixels, test images 224 x 224. Random crops show objects larger than
test images do, so the smaller size suits training and takes three fifths of the time.
"""

load = dict(type='LoadImage')
view = [
    dict(type='RandomResizedCrop', scale=176, crop_ratio_range=(0.35, 1.0), backend='cv2'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2, backend='cv2'),
]
plain_view = [
    dict(type='ResizeEdge', scale=256, edge='short', backend='cv2', interpolation='area'),
    dict(type='CenterCrop', crop_size=224),
]
train_pipeline = [load, *view, dict(type='PackInputs')]
test_pipeline = [load, *plain_view, dict(type='PackInputs')]

# Over all processes: tools/train.py divides them.
images_per_step = 32
train_dataloader = dict(
    batch_size=images_per_step,
    num_workers=2,
    # Workers that start again in each epoch would copy the memory of the training process.
    persistent_workers=True,
    # BatchNorm needs at least two images in a batch.
    drop_last=True,
    dataset=dict(
        type='LongTailDataset',
        dataset=dict(
            type='ImageList',
            data_root='data/mine',
            data_prefix='',
            classes=None,
            ann_file='train.txt',
            pipeline=train_pipeline,
        ),
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
)
val_dataloader = dict(
    # Small enough for the memory of a training step.
    batch_size=16,
    num_workers=2,
    dataset=dict(
        type='ImageList',
        data_root='data/mine',
        data_prefix='',
        classes=None,
        ann_file='test.txt',
        pipeline=test_pipeline,
        test_mode=True,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ShotAccuracy')
test_evaluator = val_evaluator
