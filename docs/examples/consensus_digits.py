"""Consensus distillation on the digits: three experts with balanced softmax."""

_base_ = '../../configs/mutual_distillation/mutual_distillation_r8_digits-lt.py'
custom_imports = dict(imports=['consensus'])

model = dict(
    head=dict(
        expert_losses=dict(_delete_=True, consensus=dict(type='ConsensusLoss', loss_weight=0.6)),
        aggregator=dict(type='ConfidenceAggregator'),
    )
)
