"""Datasets: every loader returns `Images`, labelled arrays in memory, without loading Keras."""

from zoo.datasets.images import Images, split_by_class, stratified_split

__all__ = ["Images", "split_by_class", "stratified_split"]
