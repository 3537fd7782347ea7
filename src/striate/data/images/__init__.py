"""Pictures: decoded, resized, hashed, shown in degrees, labeled, distorted."""
