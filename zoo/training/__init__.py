"""From recipe to fitted model: experiments, callbacks, several devices."""
