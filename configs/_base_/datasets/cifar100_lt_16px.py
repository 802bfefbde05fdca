"""CIFAR-100-LT at 16 x 16: all classes, IF 100, for comparing methods on a CPU.

From class folders, as cifar20_lt_16px.py: 10,847 training images in 100 classes (500 to 5; 35
many-, 35 medium-, 30 few-shot), tested on all 10,000 test images.
"""

_base_ = './cifar20_lt_16px.py'

train_dataloader = dict(dataset=dict(dataset=dict(classes=None)))
val_dataloader = dict(dataset=dict(classes=None))
test_dataloader = val_dataloader
