"""Operations that cost less than their plain form: fused kernels, row blocks, replicas."""
