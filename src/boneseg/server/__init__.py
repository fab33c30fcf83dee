"""The light box: segment films in the browser, correct the masks, save them and retrain.

    boneseg serve --data films

Modules, in reading order:

    serve.py      the command: listening, logging, shutdown
    token.py      the access token given by the user
    connections.py  limits on idle and excess connections
    app.py        the ASGI application
    guard.py      access control: host, origin, token, size; response headers
    bodies.py     limits on request bodies; methods.py: HEAD, OPTIONS, 405
    routes.py     the API for films and masks; training.py: for retraining
    exchange.py   reading requests and writing responses
    folder.py     the data folder: its layout and lock
    library.py    the data folder as films with a state; history.py: every saved mask
    retention.py  data kept for removed films
    cache.py      the results for each film
    desk.py       the bounded queue of films and its workers
    worker.py     a process that holds the model; tasks.py: its tasks
    teach.py      active learning: which film to correct next
    retrain.py    retraining in a separate process; study.py: that process
    static/       the page
"""
