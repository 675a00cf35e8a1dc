"""Evaluation of models: metrics, protocols and baselines."""
