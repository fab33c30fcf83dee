"""The processes that hold the model, their tasks and the queue of films."""
