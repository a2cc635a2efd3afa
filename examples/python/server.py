"""An ordinary threaded server that knows nothing of Cutover. Its port is hard-coded, unless it is given a socket as systemd does it."""

import os
import pathlib
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


def version():
    """What this server calls itself: a VERSION file beside it, or else the release that Cutover names, as in v4."""
    file = pathlib.Path(__file__).with_name("VERSION")
    said = file.read_text() if file.exists() else os.environ.get("CUTOVER_RELEASE", "0")
    return "v" + said.strip().removeprefix("v")


NAME = version()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body go out in two writes; without this the second waits for the client's delayed ACK.
    disable_nagle_algorithm = True

    def do_GET(self):
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == "/":
            self.answer(200, f"{NAME} pid {os.getpid()}\n")
        elif url.path == "/slow":
            time.sleep(float(query.get("ms", 1000)) / 1000)
            self.answer(200, f"{NAME} slowly\n")
        elif url.path == "/stream":
            self.stream(float(query.get("every", 1000)) / 1000)
        else:
            self.answer(404, "no such page\n")

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, every):
        """Numbered events until the client leaves."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        count = 0
        try:
            while True:
                count += 1
                line = f"data: {NAME} {count}\n\n".encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                time.sleep(every)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def log_message(self, format, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def listening():
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return Server(("0.0.0.0", 8081), Handler)
    server = Server(None, Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=3)
    return server


if __name__ == "__main__":
    print(f"{NAME} listens on 8081, pid {os.getpid()}", flush=True)
    listening().serve_forever()
