"""Training: loop, engine, gradient cache, sampler, optimiser, checkpoints."""
