"""Training of recipes: experiments, callbacks, several devices."""
