"""An ordinary WSGI app that knows nothing of Cutover. gunicorn forks its workers before the first request; the port is hard-coded."""

import os
import pathlib
import time
from urllib.parse import parse_qs


def version():
    """What this app calls itself: a VERSION file beside it, or else the release that Cutover names, as in v4."""
    file = pathlib.Path(__file__).with_name("VERSION")
    said = file.read_text() if file.exists() else os.environ.get("CUTOVER_RELEASE", "0")
    return "v" + said.strip().removeprefix("v")


NAME = version()


def application(environ, start_response):
    query = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
    path = environ["PATH_INFO"]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return stream(float(query.get("every", 1000)) / 1000)
    if path == "/":
        return answer(start_response, "200 OK", f"{NAME} pid {os.getpid()}\n")
    if path == "/slow":
        time.sleep(float(query.get("ms", 1000)) / 1000)
        return answer(start_response, "200 OK", f"{NAME} slowly\n")
    return answer(start_response, "404 Not Found", "no such page\n")


def answer(start_response, status, text):
    body = text.encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def stream(every):
    """Numbered events until the client leaves."""
    count = 0
    while True:
        count += 1
        yield f"data: {NAME} {count}\n\n".encode()
        time.sleep(every)
