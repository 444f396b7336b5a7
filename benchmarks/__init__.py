"""The commands behind every published figure: `python -m benchmarks.NAME` writes `benchmarks/results/NAME.json`."""
