"""Common settings of all runs: hooks, logging, environment."""

default_scope = 'ecl'
# Registers our modules, also for MMPretrain's get_model and inferencers.
custom_imports = dict(imports=['ecl.models', 'ecl.datasets', 'ecl.engine', 'ecl.evaluation'])
# Reads checkpoints only once, and without running code in them.
runner_type = 'ResumableRunner'

# A config that inherits this one changes single entries: MMEngine merges the dict.
# custom_hooks stays empty for the hooks of users, which replace the list.
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # A validation, a signal and an invalid loss save the training too.
    checkpoint=dict(type='CheckpointHook', interval=10, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    class_counts=dict(type='ClassCountsHook'),
    training_progress=dict(type='TrainingProgressHook'),
    step_seed=dict(type='StepSeedHook'),
    invalid_loss=dict(type='InvalidLossHook'),
    distill_weight=dict(type='DistillWeightHook', interval=50),
    bad_image=dict(type='BadImageHook'),
    run_record=dict(type='RunRecordHook'),
    keep_memory=dict(type='KeepMemoryHook'),
    sync_norm=dict(type='SyncNormHook'),
)
custom_hooks = []

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
