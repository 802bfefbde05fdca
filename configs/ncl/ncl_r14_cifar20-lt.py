"""NCL, K = 3 ResNet-14, CIFAR-20-LT at 16 x 16.

The contrastive task has the weight that suits ECL at this size, a tenth of the published one.
"""

_base_ = './ncl_r14_cifar20-lt_no-contrast.py'

model = dict(
    contrast=dict(
        type='MomentumContrast',
        queue_size=1024,
        momentum=0.999,
        temperature=0.2,
        loss_weight=0.1,
    )
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.two_view_pipeline)))
