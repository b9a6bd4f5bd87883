"""A server in a thread, for tests."""

import contextlib
from urllib.parse import urlsplit

from cnnlab.app import server
from cnnlab.app.limits import Limits


@contextlib.contextmanager
def serving(app, **limits):
    """Serves an application on a free port of the loopback, and yields the port."""
    with server.serving(app, limits=Limits(**limits)) as url:
        yield urlsplit(url).port
