"""The measurements in words."""

from typing import Any

LOOPS = {
    'runner': 'training as it is',
    'bare': 'same losses and update, tensors in memory',
    'experts': 'experts forward and backward',
    'momentum': 'momentum encoder forward',
    'reference': 'float32, contiguous, PIL image by image',
}

RATIOS = {
    'ratio': 'ratio of training to bare',
    'networks_share': 'share of the networks alone',
    'speedup': 'speed against the reference',
}


def show(result: dict[str, Any]) -> str:
    """Lay out what :func:`benchmark_step` returns, for a terminal.

    Args:
        result: The measurements.

    Returns:
        Lines of text.
    """
    machine, processes = result['machine'], result['processes']
    each = f' in each of {processes} processes' if processes > 1 else ''
    lines = [
        f'{result["config"]}: batch {result["batch_size"]}{each}, {result["precision"]}',
        f'{machine["device"]}, {machine["processor"]}, {machine["cores"]} cores, '
        f'{machine["threads"]} threads, PyTorch {machine["torch"]}',
        '',
        f'{"images/s":>51} {"by CPU time":>12}',
    ]
    by_wall, by_cpu = result['images_per_s'], result['cpu_images_per_s']
    for name, meaning in LOOPS.items():
        if name in by_wall:
            lines.append(f'{meaning:42} {by_wall[name]:8.0f} {by_cpu[name]:12.0f}')
    lines.append('')
    for name, meaning in RATIOS.items():
        lines.append(f'{meaning:42} {result[name]:8.2f} {result[f"cpu_{name}"]:12.2f}')
    lines += [
        f'{"share of time waiting for data":42} {result["data_waiting"]:8.1%}',
        f'{"peak memory (MB)":42} {result["peak_memory_mb"]:8.0f}',
        f'{"start-up to the first step (s)":42} {result["start_up_s"]:8.1f}',
    ]
    if result['evaluation_images_per_s']:
        lines.append(f'{"evaluation (images/s)":42} {result["evaluation_images_per_s"]:8.0f}')
    return '\n'.join(lines)
