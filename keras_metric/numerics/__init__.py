"""Faster forms of operations: fused kernels, row blocks, gathering over replicas."""
