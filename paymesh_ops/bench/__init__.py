"""How fast it is: rates beside baselines of the same run, as ratios, and only with right books."""
