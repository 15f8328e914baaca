"""Benchmarks of the design's section 9: ratios measured in one run, never absolute promises."""
