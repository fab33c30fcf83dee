"""The HTTP API of the light box, a module for each kind of resource.

segment.py        one film in, its mask out
films.py          the films of the data folder and what the model found on them
bones.py          the bones on a film by name
masks.py          suggested, saved and earlier masks; drafts; downloads
export.py         all accepted masks
measures.py       lengths, angles and alignments of a film, and its calibration
retraining.py     runs of the retraining
models.py         the models, and which the page and the API use
status.py         health and metrics (prometheus.py)
dependencies.py   what routes take from a request: the light box, a film, a mask, an upload
responses.py      JSON, files and masks as responses
"""
