"""Do models decide like humans? `behave`."""
