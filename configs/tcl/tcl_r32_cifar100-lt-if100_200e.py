"""TCL, three ResNet-32, CIFAR-100-LT, IF 100, 200 epochs."""

_base_ = [
    '../_base_/models/resnet_cifar.py',
    '../_base_/datasets/cifar100_lt_folder_batch.py',
    '../_base_/schedules/cifar_lt_200e_cosine.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(num_experts=3, shared_stages=1),
    head=dict(
        num_classes=100,
        classifier=dict(_delete_=True, type='CosineLinear', scale=30.0),
        label_loss=[dict(type='BalancedSoftmaxLoss', tau=tau) for tau in (0.9, 1.0, 1.1)],
        expert_losses=dict(
            distill=dict(
                type='ReweightedDistillLoss', weighting=dict(type='TrustWeighting'), loss_weight=0.6
            ),
            consensus=dict(type='ConsensusErrorLoss', loss_weight=0.02),
        ),
    ),
)
