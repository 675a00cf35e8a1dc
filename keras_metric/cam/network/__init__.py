"""A network opened up: its layers, their activations, gradients at them."""
