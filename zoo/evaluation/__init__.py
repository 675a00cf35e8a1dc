"""What a model is worth: measures, protocols and the baselines beside them."""
