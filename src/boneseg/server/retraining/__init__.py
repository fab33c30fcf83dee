"""Retraining on the accepted films, in a process of its own.

supervisor.py   starts, follows, resumes and stops the process
process.py      the process: python -m boneseg.server.retraining.process RUN
comparison.py   whether the new model is better
held_out.py     the films that score the models, and are never trained on
models.py       the models that can be chosen
records.py      the documents of a run, and the messages of the process

DATA/.boneseg/runs/0001/          wish.json, films/ (as accepted at the start), bundle/,
                                  report.html, log.txt, outcome.json
DATA/.boneseg/runs/held-back.json
"""
