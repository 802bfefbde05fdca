"""Stop and resume a training at any step with bit-identical results."""
