"""The lab's end in the guest: runs commands for the test that holds the other end of a virtio serial port.

Lines of words separated by blanks, bytes in base64 ("-" for none). From the test:

  hello SECONDS SEED                      the time, and something nobody else has for the random numbers
  run ID USER MILLISECONDS SCRIPT INPUT   bash -c SCRIPT; killed with its group when the time is over (0: never)
  signal ID NUMBER                        to the group of a command that runs
  http ID SOCKET METHOD PATH BODY         a request to a Unix socket, with Content-Type JSON where there is a body

To the test, each with the guest's monotonic clock in microseconds:

  ready TIME
  out ID TIME BYTES | err ID TIME BYTES   as they come
  exit ID TIME STATUS                     negative for a signal; -1000 when the time was over
  reply ID TIME STATUS BODY               status 0: no answer, the body says why

When the other end is gone, so is the machine.
"""
import base64, ctypes, fcntl, grp, http.client, os, pwd, select, signal, socket, struct, subprocess, sys, threading, time

PORT = "/dev/virtio-ports/agent"
libc = ctypes.CDLL("libc.so.6", use_errno=True)
lock = threading.Lock()
children = {}


def coded(data):
    return base64.b64encode(data) or b"-"


def plain(word):
    return b"" if word == b"-" else base64.b64decode(word)


def now():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def say(kind, *words, at=None):
    line = b" ".join([kind, words[0], b"%d" % (at if at is not None else now()), *words[1:]]) + b"\n"
    with lock:
        while line:
            line = line[os.write(port, line[:16384]) :]


def mount(tag, directory, flags, options):
    full = "trans=virtio,version=9p2000.L,msize=512000,access=any," + options
    if libc.mount(tag, directory, b"9p", flags, full.encode()):
        print("lab: mount", tag, os.strerror(ctypes.get_errno()), flush=True)


def hello(seconds, seed):
    time.clock_settime(time.CLOCK_REALTIME, float(seconds))
    # All machines restored from one snapshot would else make the same "random" numbers.
    seed = plain(seed)
    with open("/dev/urandom", "wb") as random:
        fcntl.ioctl(random, 0x40085203, struct.pack("ii", len(seed) * 8, len(seed)) + seed)
        fcntl.ioctl(random, 0x5207)
    mount(b"files", b"/mnt", 0, "cache=none")
    mount(b"programs", b"/programs", 1, "cache=loose")
    mount(b"runtime", b"/runtime", 1, "cache=loose")
    with lock:
        os.write(port, b"ready %d\n" % now())


def environment(user):
    return {
        "PATH": "/programs:/mnt/tools:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LD_LIBRARY_PATH": "/runtime:/programs",
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LANG": "C.UTF-8",
        "SWIFT_BACKTRACE": "enable=no",
    }


def follow(process, streams, number, limit):
    """Passes output on, and tells the end: when the command has ended, not when all that it left behind has."""
    over = False
    end = time.monotonic() + limit if limit else None
    pid = os.pidfd_open(process.pid)
    poll = select.poll()
    poll.register(pid, select.POLLIN)
    for stream in streams:
        os.set_blocking(stream, False)
        poll.register(stream, select.POLLIN)
    while True:
        wait = None if end is None else max(0, int((end - time.monotonic()) * 1000) + 1)
        ready = poll.poll(wait)
        at = now()
        if not ready:
            over = True
            os.killpg(process.pid, signal.SIGKILL)
            end = None
            continue
        for descriptor, _ in ready:
            if descriptor == pid:
                continue
            try:
                data = os.read(descriptor, 65536)
            except BlockingIOError:
                continue
            if data:
                say(streams[descriptor], number, coded(data), at=at)
            else:
                poll.unregister(descriptor)
        if any(descriptor == pid for descriptor, _ in ready):
            break
    status = process.wait()
    for descriptor, kind in streams.items():
        try:
            while data := os.read(descriptor, 65536):
                say(kind, number, coded(data))
        except BlockingIOError:
            pass
        os.close(descriptor)
    os.close(pid)
    children.pop(number, None)
    say(b"exit", number, b"%d" % (-1000 if over else status))


def run(number, name, limit, script, given):
    try:
        user = pwd.getpwnam(name.decode())
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        given = plain(given)
        source = os.memfd_create("input")
        os.write(source, given)
        os.lseek(source, 0, 0)
        options = {}
        if user.pw_uid:
            groups = [group.gr_gid for group in grp.getgrall() if user.pw_name in group.gr_mem]
            options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}
        process = subprocess.Popen(
            ["/bin/bash", "-c", plain(script)], stdin=source, stdout=out_end, stderr=err_end,
            env=environment(user), cwd="/tmp", start_new_session=True, **options)
        for descriptor in (out_end, err_end, source):
            os.close(descriptor)
    except Exception as error:
        say(b"err", number, coded(repr(error).encode()))
        say(b"exit", number, b"127")
        return
    children[number] = process
    follow(process, {out: b"out", err: b"err"}, number, int(limit) / 1000)


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(self.path)


def request(number, path, method, target, body):
    try:
        connection = Connection(plain(path).decode())
        headers = {"Accept": "application/json", "Accept-Language": "en"}
        data = plain(body)
        if data:
            headers["Content-Type"] = "application/json"
        connection.request(method.decode(), plain(target).decode(), body=data or None, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        say(b"reply", number, b"%d" % answer.status, coded(content))
    except Exception as error:
        say(b"reply", number, b"0", coded(repr(error).encode()))


def serve(words):
    kind = words[0]
    if kind == b"hello":
        hello(words[1], words[2])
    elif kind == b"run":
        threading.Thread(target=run, args=words[1:6], daemon=True).start()
    elif kind == b"http":
        threading.Thread(target=request, args=words[1:6], daemon=True).start()
    elif kind == b"signal":
        process = children.get(words[1])
        if process and process.poll() is None:
            os.killpg(process.pid, int(words[2]))


for _ in range(1000):
    if os.path.exists(PORT):
        break
    time.sleep(0.01)
port = os.open(PORT, os.O_RDWR)
poll = select.poll()
poll.register(port, select.POLLIN)
# The code of the modules above is read from the image now, not after each restore.
pwd.getpwnam("root"), subprocess.run(["/bin/true"])
with open("/dev/kmsg", "w") as log:
    log.write("<3>lab: ready\n")
met = False
alone = 0
rest = b""
while True:
    state = poll.poll()[0][1]
    if state & select.POLLIN:
        data = os.read(port, 65536)
        if data:
            met = True
        rest += data
        *lines, rest = rest.split(b"\n")
        for line in lines:
            if line:
                serve(line.split(b" "))
    elif state & select.POLLHUP:
        # Nobody there: yet, or any more. A minute is enough for whoever restored the machine.
        alone += 1
        if met or alone > 12000:
            sys.exit()
        time.sleep(0.005)
