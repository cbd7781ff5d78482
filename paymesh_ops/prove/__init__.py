"""The long proof: everything that takes minutes, step by step, and a page of what was seen."""
