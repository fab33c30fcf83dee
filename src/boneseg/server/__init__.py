"""The light box: films in a browser tab, their bones at once, corrected, saved and retrained on.

    boneseg serve --data films

Where to begin reading:

    serve.py      the command: one server a folder, one address, one worker
    token.py      the token that the user has chosen
    connections.py  connections that wait too long, or are too many
    app.py        the application, put together from its settings
    guard.py      who may ask: host, origin, token, size; and the headers of every answer
    bodies.py     how fast, how large and how many bodies may be; methods.py: HEAD, OPTIONS, 405
    routes.py     what a page or a program may ask of films; training.py: of retraining
    exchange.py   what comes in with a request, and goes out
    folder.py     the data folder: its layout, and that one server has it
    library.py    the data folder as films with a state; history.py: every mask that was saved
    retention.py  what is kept of films that are gone, and what a kill leaves behind
    cache.py      what was found on each film, so that it is found once
    desk.py       the bounded queue of films, and the workers that take from it
    worker.py     a process that holds the model; tasks.py: what it does with a film
    teach.py      which film's correction should teach most
    retrain.py    training in a process of its own; study.py: what that process does
    static/       the page
"""
