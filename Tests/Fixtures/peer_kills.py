#!/usr/bin/env python3
"""Kills other store-and-forward systems as the service is killed, and counts what they lose.

    peer_kills.py [postfix|persist-queue|persist-queue-file] [KILLS]

What counts as accepted is what the system itself has confirmed: Postfix by its 250, persist-queue by returning from put().
What counts as delivered lies, flushed, in a log of the receiver. Lost is what was accepted and never delivered.

postfix needs root and Debian's package; persist-queue is installed from PyPI (pip install persist-queue).
"""

import os
import random
import signal
import smtplib
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

BODY = 30_000


def durable_line(log, text):
    os.write(log, (text + "\n").encode())
    os.fsync(log)


def lines(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="ascii", errors="replace") as file:
        return [line.strip() for line in file if line.endswith("\n")]


def report(name, kills, accepted, delivered):
    once = set(delivered)
    lost = len(set(accepted) - once)
    print(
        f"FIGURE peer {name}: {kills} SIGKILLs, {len(accepted)} accepted, {lost} lost, "
        f"{len(delivered) - len(once)} delivered again", flush=True)


# persist-queue: a producer and a consumer, each a process that is killed.

def queue_of(kind, path):
    import persistqueue

    if kind == "persist-queue":
        return persistqueue.SQLiteAckQueue(path, auto_commit=True, multithreading=True)
    return persistqueue.Queue(path, autosave=True)


def produce(kind, path, log_path, first):
    queue = queue_of(kind, path)
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    number = first
    print("ready", flush=True)
    while True:
        name = f"{os.getpid()}-{number}"
        queue.put((name, b"x" * BODY))
        durable_line(log, name)
        number += 1


def consume(kind, path, log_path):
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    queue = queue_of(kind, path)
    print("ready", flush=True)
    while True:
        try:
            item = queue.get(block=True, timeout=0.5)
        except Exception as error:
            if type(error).__name__ != "Empty":
                raise
            print("empty", flush=True)
            # What another process has put in since is seen by a new queue only.
            time.sleep(0.05)
            queue = queue_of(kind, path)
            continue
        durable_line(log, item[0])
        if kind == "persist-queue":
            queue.ack(item)
        else:
            queue.task_done()


def run_queue(kind, kills):
    with tempfile.TemporaryDirectory(prefix="peer-") as directory:
        path, accepted, delivered = (os.path.join(directory, name) for name in ("queue", "accepted", "delivered"))

        def start(role, log):
            return subprocess.Popen(
                [sys.executable, __file__, "--" + role, kind, path, log], stdout=subprocess.PIPE,
                stderr=subprocess.PIPE)

        broken = 0
        for _ in range(kills):
            # One process at a time has the queue: the file queue is not made for two.
            for role, log in (("produce", accepted), ("consume", delivered)):
                process = start(role, log)
                process.stdout.readline()
                time.sleep(0.3 + random.random() * 0.4)
                if process.poll() not in (None, 0):
                    broken += 1
                process.kill()
                process.communicate()
        process = start("consume", delivered)
        deadline = time.monotonic() + 300
        for line in process.stdout:
            if line.startswith(b"empty") or time.monotonic() > deadline:
                break
        else:
            broken += 1
        process.kill()
        errors = process.communicate()[1].decode(errors="replace").strip().splitlines()
        report(kind, 2 * kills, lines(accepted), lines(delivered))
        if broken:
            print(f"  {broken} starts failed; the last said: {errors[-1] if errors else 'nothing'}")


# Postfix.

class Receiver(socketserver.StreamRequestHandler):
    """LMTP (RFC 2033): accepts a message when its id is on the disk."""

    def handle(self):
        self.wfile.write(b"220 peer LMTP\r\n")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"LHLO":
                self.wfile.write(b"250-peer\r\n250 PIPELINING\r\n")
            elif word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                name = ""
                while (text := self.rfile.readline()) not in (b".\r\n", b""):
                    if text.startswith(b"X-Name: "):
                        name = text[8:].decode().strip()
                if text == b"":
                    return
                durable_line(self.server.log, name)
                self.wfile.write(b"250 stored\r\n")
            elif word == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 ok\r\n")


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        # A client that is killed is an ordinary event here.
        pass


MAIN = """compatibility_level = 3.6
queue_directory = {0}/queue
data_directory = {0}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = peer.invalid
mydestination =
alias_maps =
alias_database =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = peer.invalid
virtual_mailbox_maps = static:x
virtual_transport = lmtp:unix:{0}/lmtp.sock
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
in_flow_delay = 0
maillog_file_prefixes = {0}
maillog_file = {0}/log
"""
MASTER = """127.0.0.1:{1} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
scache unix - - n - 1 scache
showq unix n - n - - showq
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


def run_postfix(kills):
    if os.geteuid() != 0 or not os.path.exists("/usr/lib/postfix/sbin/master"):
        print("  skipped: needs root and Debian's postfix")
        return
    with tempfile.TemporaryDirectory(prefix="peer-") as directory:
        os.chmod(directory, 0o711)
        os.makedirs(directory + "/etc")
        os.makedirs(directory + "/queue")
        with socketserver.TCPServer(("127.0.0.1", 0), None) as free:
            port = free.server_address[1]
        for name, text in (("main.cf", MAIN), ("master.cf", MASTER)):
            with open(f"{directory}/etc/{name}", "w", encoding="ascii") as file:
                file.write(text.format(directory, port))
        delivered, accepted = [], []
        server = Server(directory + "/lmtp.sock", Receiver)
        os.chmod(directory + "/lmtp.sock", 0o666)
        server.log = os.open(directory + "/delivered", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def postfix(verb):
            subprocess.run(
                ["/usr/sbin/postfix", "-c", directory + "/etc", verb], stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, check=False)

        def processes():
            """The master's id and its children's: only what was started here."""
            with open(directory + "/queue/pid/master.pid", encoding="ascii") as file:
                master = int(file.read())
            # The file outlives a master that was killed, and its number may be somebody else's by now.
            if os.readlink(f"/proc/{master}/cwd") != os.path.realpath(directory + "/queue"):
                return []
            with open(f"/proc/{master}/task/{master}/children", encoding="ascii") as file:
                return [master] + [int(word) for word in file.read().split()]

        over = threading.Event()

        def produce():
            number = 0
            while not over.is_set():
                try:
                    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
                        while not over.is_set():
                            name = f"item-{number}"
                            number += 1
                            text = f"X-Name: {name}\r\n\r\n" + ("x" * 70 + "\r\n") * (BODY // 72)
                            client.sendmail("sender@peer.invalid", ["page@peer.invalid"], text)
                            accepted.append(name)
                except (OSError, smtplib.SMTPException):
                    time.sleep(0.02)

        postfix("start")
        producer = threading.Thread(target=produce)
        producer.start()
        for _ in range(kills):
            time.sleep(0.3 + random.random() * 0.7)
            try:
                victims = processes()
            except OSError:
                victims = []
            for victim in victims:
                try:
                    os.kill(victim, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            # The lock of the old master goes with it.
            time.sleep(0.1)
            postfix("start")
        over.set()
        producer.join()
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and not set(accepted) <= set(lines(directory + "/delivered")):
            time.sleep(0.5)
        delivered = lines(directory + "/delivered")
        postfix("stop")
        report("postfix", kills, accepted, delivered)


def main():
    words = sys.argv[1:]
    if words and words[0] == "--produce":
        produce(words[1], words[2], words[3], 0)
    elif words and words[0] == "--consume":
        consume(words[1], words[2], words[3])
    else:
        kinds = [word for word in words if not word.isdigit()] or ["postfix", "persist-queue", "persist-queue-file"]
        kills = next((int(word) for word in words if word.isdigit()), 100)
        for kind in kinds:
            if kind == "postfix":
                run_postfix(kills)
            else:
                run_queue(kind, kills)


if __name__ == "__main__":
    main()
