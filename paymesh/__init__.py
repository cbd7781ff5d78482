"""The shared runtime of the mesh: one small module for each concern, no business rules."""
