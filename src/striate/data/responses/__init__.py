"""Responses of units to stimuli: labels, ceilings, splits, copies, simulation."""
