"""Splits of stimuli into parts, bundles that stay together, and the guard against leaks."""
