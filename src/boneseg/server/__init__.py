"""The light box: segment films in the browser, correct the masks, save them and retrain.

    boneseg serve --data films

Each line imports only from those below it:

    serve.py            the command: listening, logging, shutdown; token.py: the access token
    app.py              the ASGI application
    routes/             the HTTP API, a module for each kind of resource
    light_box.py        the state behind the routes
    workers/            processes that hold the model, and their queue
    retraining/         training in a separate process; the held-out films
    storage/            the data folder: films, masks, versions, cached results
    middleware/         access control and limits, applied before a route
    active_learning.py  which film to correct next
    encoding.py         pixels and masks as bytes
    errors.py           the errors with their HTTP status
    static/             the page
"""
