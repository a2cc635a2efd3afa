"""Clients far away: TCP by hand (RFC 9293) at the other end of a TUN device, so that each step of a handshake takes as long as a test wants.
For app.py: `import far`. The device goes with the process. See Documentation/networking/tuntap.rst of the kernel."""
import collections, fcntl, itertools, os, random, socket, struct, subprocess, threading, time

HERE, THERE = "10.99.0.1", "10.99.0.2"
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
AGAIN = 0.2  # seconds until what was not answered is sent again

device = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(device, 0x400454CA, struct.pack("16sH22x", b"far0", 0x1001))  # TUNSETIFF: IFF_TUN | IFF_NO_PI
for command in (f"addr add {HERE}/24 dev far0", "link set far0 up"):
    subprocess.run(["ip", *command.split()], check=True)

clients = {}
# Others than those of who was here before: what those left in TIME_WAIT would meet our SYNs.
ports = itertools.count(random.randrange(1024, 40000))


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Client:
    """One connection: `syn`, `half` (the answer to its SYN is here, and not acknowledged), `asked`, then what it was answered, or `reset`."""

    def __init__(self, port):
        self.to, self.port = port, next(ports)
        self.next, self.peer = random.getrandbits(32), 0
        self.state, self.answer = "syn", b""
        clients[self.port] = self
        self.send(SYN)

    def send(self, flags, data=b""):
        ends = socket.inet_aton(THERE) + socket.inet_aton(HERE)
        head = struct.pack("!HHIIBBH", self.port, self.to, self.next & 0xFFFFFFFF, self.peer, 5 << 4, flags, 65535)
        sum_of = ends + struct.pack("!BBH", 0, 6, 20 + len(data)) + head + bytes(4) + data
        segment = head + struct.pack("!HH", checksum(sum_of), 0) + data
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, 6, 0) + ends
        os.write(device, ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + segment)

    def ask(self):
        self.state = "asked"
        self.send(ACK | PSH, b"?")

    def take(self, seq, flags, data):
        if flags & RST:
            self.state = "reset"
        elif flags & SYN:
            if self.state == "syn":
                self.state, self.peer, self.next = "half", (seq + 1) & 0xFFFFFFFF, self.next + 1
        elif self.state == "asked" and seq == self.peer and (data or flags & FIN):
            self.answer += data
            self.peer = (seq + len(data) + (flags & FIN)) & 0xFFFFFFFF
            if flags & FIN:
                self.state = self.answer.decode() or "closed"
            self.next += 1  # the question
            self.send(ACK | flags & FIN)
            self.next -= 1


def receive():
    while packet := os.read(device, 65536):
        start = (packet[0] & 15) * 4
        if packet[0] >> 4 != 4 or packet[9] != 6:
            continue
        _, port, seq, _, size, flags = struct.unpack("!HHIIBB", packet[start : start + 14])
        client = clients.get(port)
        if client:
            client.take(seq, flags, packet[start + (size >> 4) * 4 :])


threading.Thread(target=receive, daemon=True).start()


def until_over(states, again, seconds=20):
    """Sends again what had no effect, until no client is in one of these states. Returns how many are in which."""
    deadline = time.monotonic() + seconds
    while any(client.state in states for client in clients.values()) and time.monotonic() < deadline:
        time.sleep(AGAIN)
        for client in clients.values():
            if client.state in states:
                again(client)
    return collections.Counter(client.state for client in clients.values())


def begin(port, count):
    """Clients that have sent their SYN and got its answer."""
    for _ in range(count):
        Client(port)
    return until_over({"syn"}, lambda client: client.send(SYN))


def finish():
    """Each acknowledges, and asks. Returns how often each answer came."""
    for client in clients.values():
        if client.state == "half":
            client.ask()
    return until_over({"asked"}, Client.ask)


def scan(port):
    """SYNs after which nothing comes, until the function that this returns is called. That tells how many there were."""
    over, sent = threading.Event(), itertools.count()

    def go_on():
        while not over.is_set():
            del clients[Client(port).port]
            next(sent)
            time.sleep(random.random() / 1000)

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()

    def stop():
        over.set()
        thread.join()
        return next(sent)

    return stop
