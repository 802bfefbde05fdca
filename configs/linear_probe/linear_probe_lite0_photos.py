"""Linear probe, EfficientNet-Lite0 with ImageNet weights, own photographs.

Logistic regression on features that are computed once, then the log prior is subtracted from the
logits.
"""

_base_ = [
    '../_base_/models/lite0.py',
    '../_base_/datasets/photos.py',
    '../_base_/schedules/finetune_8e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=10))
train_dataloader = dict(
    drop_last=False,
    dataset=dict(dataset=dict(pipeline=_base_.test_pipeline)),
    sampler=dict(shuffle=False),
)
train_cfg = dict(_delete_=True, type='LinearProbeLoop')
default_hooks = dict(adjustment=dict(type='AdjustmentHook', method='logit-adjustment', tau=1.0))
