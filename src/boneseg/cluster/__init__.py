"""Many machines: archives of films, folds and trials on a Ray cluster (the extra `cluster`).

Nothing below this package knows of it. `archive.py` segments films, on workers of `worker.py`.
"""
