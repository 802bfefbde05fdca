"""CIFAR-100-LT, IF 100, from class folders: data/cifar100/{train,test}/<class>/<image>.

The pipelines of cifar100_lt.py behind a reader of image files. The images are drawn with seed 0
from those that are there, so the subset is not that of the pickles.
"""

_base_ = './cifar100_lt.py'

# Files are read as BGR; the conversion to PIL makes them the RGB arrays that the pickles give.
load = [
    dict(type='LoadImageFromFile'),
    dict(type='NumpyToPIL', to_rgb=True),
    dict(type='PILToNumpy'),
]

train_dataloader = dict(
    dataset=dict(
        # The usual subset depends on the order of the original archive, which these files do not
        # have.
        subset='random',
        dataset=dict(type='ImageFolder', pipeline=load + _base_.train_pipeline),
    )
)
val_dataloader = dict(dataset=dict(type='ImageFolder', pipeline=load + _base_.test_pipeline))
test_dataloader = val_dataloader
