"""ECL, three experts on a shared EfficientNet-Lite0 with ImageNet weights, own photographs."""

_base_ = [
    '../_base_/models/lite0.py',
    '../_base_/datasets/photos.py',
    '../_base_/schedules/finetune_8e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(num_experts=3),
    head=dict(
        num_classes=10,
        reading='shared_labels',
        predict_with='label',
        expert_losses=dict(
            distill=dict(
                type='ReweightedDistillLoss',
                weighting=dict(type='TrustWeighting'),
                loss_weight=0.6,
            ),
        ),
    ),
)
# The default, every tenth epoch, would save no checkpoint before the last epoch.
default_hooks = dict(checkpoint=dict(interval=1))
