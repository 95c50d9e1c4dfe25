"""Inference timing: latency and throughput with the evidence that they can be believed."""
