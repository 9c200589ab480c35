import Posix
import TestKit
import Testing

/// An HTTP server that others wrote, Python's `http.server`, on a Unix socket or the loopback; and one that
/// says exactly what a test wants to hear.
final class FarEnd: Sendable {
  let path: String
  private let process: ChildProcess

  static let isMissing: Comment = "python3 is not installed"
  static var isExpected: Bool { Programs.areExpected("python3") }

  /// - Parameters:
  ///   - path: of the Unix socket; a port number for the loopback, 0 for any.
  ///   - mode: `http`, or what ``script`` says to every request on every connection, in turn, the last one
  ///     for ever.
  ///   - user: to run as; with the system's Python then, since another may be in a place only this user can
  ///     read.
  static func start(path: String, mode: [String], user: UInt32? = nil) async throws -> FarEnd {
    let arguments = ["-c", script, path] + mode
    let process =
      if let user {
        try ChildProcess.spawn(
          "setpriv", arguments: ["--reuid", "\(user)", "--clear-groups", "/usr/bin/python3"] + arguments,
          standardOutput: .pipe)
      } else {
        try ChildProcess.spawn("python3", arguments: arguments, standardOutput: .pipe)
      }
    // It says where it listens when it does.
    var line = ""
    while !line.hasSuffix("\n") {
      let bytes = try await process.output?.read(upTo: 256, timeout: .seconds(30)) ?? []
      guard !bytes.isEmpty else { throw Ended() }
      line += String(decoding: bytes, as: UTF8.self)
    }
    return FarEnd(path: String(line.dropLast()), process: process)
  }

  private init(path: String, process: ChildProcess) {
    self.path = path
    self.process = process
  }

  /// The next line it prints: what it was asked.
  func nextLine() async throws -> String {
    var line: [UInt8] = []
    while line.last != 10 {
      let byte = try await process.output?.read(upTo: 1, timeout: .seconds(30)) ?? []
      guard !byte.isEmpty else { throw Ended() }
      line += byte
    }
    return String(decoding: line.dropLast(), as: UTF8.self)
  }

  struct Ended: Error {}

  func kill() async {
    process.signal(Signals.kill)
    _ = await process.wait(timeout: .seconds(30))
    try? Files.unlink(path)
  }

  private static let script = #"""
    import socket, socketserver, sys, threading, time
    from http.server import BaseHTTPRequestHandler

    path, mode = sys.argv[1], sys.argv[2:]
    if path[0] == '/':
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        where = path
        import os
        os.chmod(path, 0o666)
    else:
        listener = socket.socket()
        listener.bind(('127.0.0.1', int(path)))
        where = str(listener.getsockname()[1])
    listener.listen(16)
    print(where, flush=True)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'
        def address_string(self): return 'local'
        def log_message(self, *a): pass
        def answer(self):
            n = int(self.headers.get('Content-Length') or 0)
            body = self.rfile.read(n)
            te = self.headers.get('Transfer-Encoding')
            get = self.headers.get
            print(self.command, self.path, get('Content-Length'), te, get('Content-Type'),
                  get('Accept-Language'), get('Authorization'), len(body), flush=True)
            code = int(self.path[1:4]) if self.path[1:4].isdigit() else 200
            self.send_response(code)
            if code == 503: self.send_header('Retry-After', '120')
            if code == 302: self.send_header('Location', '/elsewhere')
            if code in (204, 304):
                self.end_headers()
                return
            if self.path.endswith('close'): self.send_header('Connection', 'close')
            if self.path.endswith('until'):
                self.send_header('Connection', 'close')
                self.end_headers()
                self.wfile.write(body or b'until the end')
                self.close_connection = True
                return
            if self.path.endswith('chunked'):
                self.send_header('Transfer-Encoding', 'chunked')
                self.end_headers()
                for i in range(0, len(body), 1000):
                    part = body[i:i + 1000]
                    self.wfile.write(b'%x\r\n%s\r\n' % (len(part), part))
                self.wfile.write(b'0\r\n\r\n')
                return
            self.send_header('Content-Type', 'text/plain')
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            if self.command != 'HEAD': self.wfile.write(body)
        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_OPTIONS = answer

    def request(connection):
        data = b''
        while b'\r\n\r\n' not in data:
            more = connection.recv(65536)
            if not more: return False
            data += more
        head, rest = data.split(b'\r\n\r\n', 1)
        for line in head.split(b'\r\n'):
            if line.lower().startswith(b'content-length:'):
                n = int(line.split(b':')[1])
                while len(rest) < n:
                    more = connection.recv(65536)
                    if not more: return False
                    rest += more
        print(head.split(b'\r\n')[0].decode(), flush=True)
        return True

    def say(connection, what):
        kind, _, text = what.partition(':')
        data = text.encode().decode('unicode_escape').encode('latin-1')
        if kind == 'say': connection.sendall(data)
        if kind == 'close':
            connection.sendall(data)
            return False
        if kind == 'drip':
            for byte in data:
                time.sleep(0.3)
                connection.sendall(bytes([byte]))
        if kind == 'slowly':
            connection.sendall(b'HTTP/1.1 200 OK\r\n\r\n')
            return say(connection, 'drip:' + text)
        if kind == 'fastdrip':
            while True:
                time.sleep(0.02)
                connection.sendall(data)
        if kind == 'hang': threading.Event().wait()
        return True

    plan = list(mode)
    def scripted(connection):
        try:
            if plan[0] == 'early':
                connection.recv(100)
                connection.sendall(b'HTTP/1.1 413 Too large\r\nContent-Length: 3\r\n\r\nbig')
                threading.Event().wait()
            while request(connection):
                what = plan.pop(0) if len(plan) > 1 else plan[0]
                if not say(connection, what): break
        except (BrokenPipeError, ConnectionResetError): pass
        connection.close()

    while True:
        connection, _ = listener.accept()
        if mode == ['http']:
            def serve(c):
                try: Handler(c, ('local', 0), None)
                except (BrokenPipeError, ConnectionResetError): pass
                c.close()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()
        else:
            threading.Thread(target=scripted, args=(connection,), daemon=True).start()
    """#
}
