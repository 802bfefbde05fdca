"""LDAM with deferred re-weighting, one ResNet-32, CIFAR-100-LT, imbalance factor 100, 200 epochs.

Largest margin 0.5, scale 30, weights (beta 0.9999) in the last fifth of the epochs, as published.
"""

_base_ = '../balanced_softmax/balanced_softmax_r32_cifar100-lt-if100_200e.py'

scale = 30.0

model = dict(
    head=dict(
        classifier=dict(type='CosineLinear', scale=scale),
        label_loss=dict(
            _delete_=True,
            type='LDAMLoss',
            scale=scale,
            max_margin=0.5,
            reweight_from=0.8,
            beta=0.9999,
        ),
    )
)
custom_hooks = _base_.custom_hooks + [dict(type='TrainingProgressHook')]
