"""A business and its customers as clients of a mesh: for the demo, storms, tests."""
