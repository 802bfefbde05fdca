"""CIFAR-100-LT, IF 100, from class folders, decoded once and augmented batch by batch.

The images and distributions of cifar100_lt_folder.py at a fraction of the time.
"""

_base_ = './cifar100_lt_folder.py'

views = [
    [
        dict(type='BatchRandomCrop', crop_size=32, padding=4),
        dict(type='BatchRandomFlip'),
        dict(type='BatchCIFARAutoAugment'),
        dict(type='BatchCutout', shape=16),
    ],
    [
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
    ],
]
train_dataset = _base_.train_dataloader.dataset
train_dataset.dataset.pipeline = _base_.load + [dict(type='PackInputs')]
train_dataloader = dict(
    num_workers=0,
    dataset=dict(_delete_=True, type='InMemoryDataset', dataset=train_dataset),
)
data_preprocessor = dict(type='MultiViewDataPreprocessor', views=views)
