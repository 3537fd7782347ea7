"""Growing a model of V1 and V2 from photographs: `grow`."""
