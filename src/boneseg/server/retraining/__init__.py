"""Retraining on the accepted films, in a process of its own."""
