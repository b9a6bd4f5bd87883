"""A server in a thread, for tests."""

import contextlib
import threading

from cnnlab.app.limits import Limits
from cnnlab.app.server import bind, create_server


@contextlib.contextmanager
def serving(app, **limits):
    """Serves an application on a free port of the loopback, and yields the port."""
    listener, ready = bind(port=0), threading.Event()
    with listener:
        server = create_server(app, listener, limits=Limits(**limits), ready=lambda url: ready.set())
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert ready.wait(60)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)
