"""What the rooms share: options, choices of data and models, records, forward passes."""
