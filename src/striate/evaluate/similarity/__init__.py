"""Whose representational geometry is most like the brain's? RSA."""
