"""Growing stages from photographs, layer by layer."""
