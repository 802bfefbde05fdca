"""Digits-LT: scikit-learn's 8 x 8 handwriting, IF 50, balanced test split. Nothing to download."""

view = [
    dict(type='RandomCrop', crop_size=8, padding=1, padding_mode='edge'),
    dict(type='ColorJitter', brightness=0.2, contrast=0.2),
]
key_view = [
    dict(type='RandomResizedCrop', scale=8, crop_ratio_range=(0.6, 1.0)),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4),
]
# Methods with a contrastive branch look at two views.
two_view_pipeline = [
    dict(type='MultiView', num_views=[1, 1], transforms=[view, key_view]),
    dict(type='PackInputs'),
]
train_pipeline = [*view, dict(type='PackInputs')]
test_pipeline = [dict(type='PackInputs')]
# A mirrored digit is not a digit: the views of --tta are the image and its shifts by one pixel.
shift = dict(type='Translate', prob=1.0, random_negative_prob=0.0, pad_val=0)
shifts = [dict(**shift, magnitude=0.0)] + [
    dict(**shift, magnitude=magnitude, direction=direction)
    for direction in ('horizontal', 'vertical')
    for magnitude in (0.125, -0.125)
]
tta_pipeline = [dict(type='TestTimeAug', transforms=[shifts, test_pipeline])]

# Over all processes: tools/train.py divides them.
images_per_step = 32
train_dataloader = dict(
    batch_size=images_per_step,
    num_workers=0,
    dataset=dict(
        type='LongTailDataset',
        imbalance_factor=50,
        max_per_class=120,
        dataset=dict(type='Digits', split='train', pipeline=train_pipeline),
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
)
val_dataloader = dict(
    batch_size=250,
    num_workers=0,
    dataset=dict(type='Digits', split='test', pipeline=test_pipeline, test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ShotAccuracy')
test_evaluator = val_evaluator

data_preprocessor = dict(mean=[77.9] * 3, std=[95.9] * 3, to_rgb=False)
