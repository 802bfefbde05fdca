"""What every run shares: hooks, logging, environment."""

default_scope = 'ecl'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
custom_hooks = [
    dict(type='ClassCountsHook'),
    dict(type='StepSeedHook'),
    dict(type='InvalidLossHook'),
    dict(type='DistillWeightHook', interval=50),
    dict(type='BadImageHook'),
    dict(type='RunRecordHook'),
    dict(type='KeepMemoryHook'),
    # Each process has statistics of its own in the norm layers; the checkpoint keeps one set.
    dict(type='SyncBuffersHook'),
]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='UniversalVisualizer', vis_backends=vis_backends)
log_level = 'INFO'
randomness = dict(seed=0)
load_from = None
resume = False
