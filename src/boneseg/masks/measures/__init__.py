"""Measures on a film: their geometry, alignment of a leg, and files of them.

measures = [Measure("angle", ((10, 10), (90, 12), (20, 80), (90, 60)), "Cobb")]
values(measures[0], (0.2, 0.2))      # {"angle": Value(16.6, "deg")}
suggested(mask)                      # the alignment of each whole leg on the film
"""
