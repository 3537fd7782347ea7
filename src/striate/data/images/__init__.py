"""Pictures: decoded, resized, hashed, shown in degrees, labelled, distorted."""
