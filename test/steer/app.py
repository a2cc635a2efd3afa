"""An app that does what a test tells it: each line of its input is Python, as a JSON string; each line of its output the value, as JSON."""
import errno, json, os, socket, struct, sys, threading, time

name = sys.argv[1]
sockets = []
threads = {}


def made(address, v6only=None, device=None, share=False, again=False, protocol=0):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, protocol)
    sockets.append(s)
    if v6only is not None:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    if device:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")
    if again:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if share:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return s


def bound(address, port, **options):
    s = made(address, **options)
    try:
        s.bind((address, port))
    except OSError:
        sockets.remove(s)
        s.close()
        raise
    return s


def cookie(s):
    return str(struct.unpack("Q", s.getsockopt(socket.SOL_SOCKET, 57, 8))[0])


def serve(s, answer=None):
    """Answers each connection with our name, or with what `answer` says, until the socket is closed."""

    def one(c):
        with c:
            try:
                c.settimeout(20)
                if c.recv(100):
                    c.sendall((answer() if answer else name).encode())
            except OSError:
                pass

    def loop():
        while s.fileno() >= 0:
            try:
                c, _ = s.accept()
            except OSError:
                time.sleep(0.001)  # shut down, it may listen again
                continue
            threading.Thread(target=one, args=(c,), daemon=True).start()

    threads[s] = threading.Thread(target=loop, daemon=True)
    threads[s].start()


def listen(address, port, backlog=256, answer=None, accept=True, **options):
    """Binds, listens, serves. Returns the socket's cookie."""
    s = bound(address, port, **options)
    s.listen(backlog)
    if accept:
        serve(s, answer)
    return cookie(s)


def close(s):
    """Really closes it: a thread that waits in accept() would keep it."""
    s.shutdown(socket.SHUT_RDWR)
    s.close()
    sockets.remove(s)
    if s in threads:
        threads.pop(s).join()


def ask(address, port, timeout=20):
    """What a server answers, or the name of the error."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as c:
            c.settimeout(timeout)
            c.connect((address, port))
            c.sendall(b"?")
            return c.recv(1000).decode() or "closed"
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)


def get(address, port):
    """The first word of what an HTTP server answers: a release."""
    with socket.create_connection((address, port), 20) as c:
        c.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: c.recv(1000), b"")).decode().split("\r\n\r\n")[1].split()[0]


print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    code = json.loads(line)
    try:
        try:
            told = {"value": eval(code)}
        except SyntaxError:
            exec(code)
            told = {"value": None}
    except OSError as error:
        told = {"error": errno.errorcode.get(error.errno, str(error))}
    except Exception as error:
        told = {"error": repr(error)}
    print(json.dumps(told, default=str), flush=True)
