"""ImageNet-LT, decoded and cropped by the workers; the other transforms are of whole batches.

The views are those of imagenet_lt.py, except that RandAugment uses no interpolation and that the
order of the colour adjustments is random.
"""

_base_ = ['./imagenet_lt.py']

# Images are read as BGR; the conversion to PIL makes them RGB arrays.
to_rgb = [dict(type='NumpyToPIL', to_rgb=True), dict(type='PILToNumpy')]
crop = dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(0.08, 1.0), backend='pillow')
key_crop = dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(0.2, 1.0), backend='pillow')
train_pipeline = [
    dict(type='LoadImage'),
    *to_rgb,
    dict(type='MultiView', num_views=[1, 1], transforms=[[crop], [key_crop]]),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    *to_rgb,
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
train_dataloader = dict(num_workers=4, dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

data_preprocessor = dict(
    type='MultiViewDataPreprocessor',
    to_rgb=False,
    views=[
        [
            dict(type='BatchRandomFlip'),
            dict(type='BatchColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
            dict(type='BatchRandAugment'),
        ],
        [
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
        ],
    ],
)
