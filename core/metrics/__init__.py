"""Measures of any domain: distances between sets of features, memorisation, intervals, and simple baselines."""
