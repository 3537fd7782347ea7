"""Responses of units to stimuli: labels, noise ceilings, joined copies, RDMs, simulation."""
