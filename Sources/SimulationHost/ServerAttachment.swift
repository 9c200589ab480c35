internal import Channels
internal import HTTPServer
internal import Posix
internal import Simulation

/// A simulated device that speaks HTTP, on the loopback or on a Unix socket.
///
/// The requests are libmicrohttpd's business, behind a relay that can do what no proper server does: break a connection
/// off. `unplug` closes everything, `plug` opens it at the same place.
actor ServerAttachment: Attachment {
  /// Where clients connect.
  enum Place: Sendable {
    /// On 127.0.0.1; the system chooses the port, and the address is in this file while the device can be reached.
    case loopback(file: String)
    /// At this path.
    case unix(path: String)
  }

  private let device: SimulatedDevice
  private let place: Place
  private let inner: String
  private var port: UInt16 = 0
  private var server: HTTPServer?
  private var relay: ConnectionRelay?
  private var running: Task<Void, Never>?
  private var progress = AttachmentProgress()

  init(_ device: SimulatedDevice, _ place: Place, directory: String) {
    self.device = device
    self.place = place
    inner = "\(directory)/.\(device.name).http"
  }

  var address: ChannelAddress? {
    switch place {
    case .loopback: port > 0 ? .http(port: port, path: device.basePath ?? "") : nil
    case .unix(let path):
      .cups(queue: device.basePath?.split(separator: "/").last.map(String.init) ?? device.name, server: path)
    }
  }

  func start() async throws(SimulatedHallError) {
    try startServer()
    let changes = await device.changes
    do throws(SystemError) {
      if await device.isPlugged { try open() }
    } catch {
      await stop()
      throw .system(error)
    }
    progress.reach(changes)
    running = Task { await self.follow(changes) }
  }

  func settle() async {
    let changes = await device.changes
    await withCheckedContinuation { progress.wait(for: changes, $0) }
  }

  func stop() async {
    running?.cancel()
    await running?.value
    running = nil
    await close()
    await server?.stop(grace: .zero)
    server = nil
    try? Files.unlink(inner)
    progress.reach(.max)
  }

  /// Opens and closes the place as the device is plugged and unplugged.
  private func follow(_ start: Int) async {
    var changes = start
    while !Task.isCancelled {
      await device.waitForChange(after: changes)
      changes = await device.changes
      let isPlugged = await device.isPlugged
      guard !Task.isCancelled else { return }
      if isPlugged, relay == nil {
        do throws(SystemError) {
          try open()
        } catch {
          StandardStreams.writeError("simulated \(device.name): \(error)\n")
        }
      } else if !isPlugged {
        await close()
      }
      progress.reach(changes)
    }
  }

  private func startServer() throws(SimulatedHallError) {
    let listening: Descriptor
    do throws(SystemError) {
      listening = try UnixSocket.listen(path: inner, mode: 0o600, group: nil)
    } catch {
      throw .system(error)
    }
    let (device, limit) = (device, device.bodyLimit)
    do throws(HTTPServerError) {
      // All connections come from this process's relay.
      server = try HTTPServer(
        listening: listening, name: "sim-\(device.name)",
        limits: ServerLimits(maximumBodyBytes: { _, _ in limit }, connectionsPerProcess: 256)
      ) { request in await Self.answer(request, device) }
    } catch {
      throw .server(device: device.name)
    }
  }

  private static func answer(_ request: ServerRequest, _ device: SimulatedDevice) async -> ServerResponse {
    let exchange = await device.exchange(
      HTTPRequest(
        request.method, request.path, contentType: request.header("Content-Type"), body: request.body))
    switch exchange {
    case .answered(let response): return Self.response(response)
    case .cut(let response):
      var cut = Self.response(response)
      cut.headers.append(ConnectionRelay.cut)
      return cut
    case .closed: return ServerResponse(status: 503, headers: [ConnectionRelay.close])
    }
  }

  private static func response(_ response: HTTPResponse) -> ServerResponse {
    ServerResponse(
      status: response.status,
      headers: response.headers.sorted { $0.key < $1.key }.map { ($0.key, $0.value) },
      body: .bytes(response.body))
  }

  private func open() throws(SystemError) {
    switch place {
    case .loopback(let file):
      let listener = try Loopback.listen(port: port)
      port = listener.port
      relay = ConnectionRelay(listening: listener.descriptor, inner: inner)
      let text = "http://127.0.0.1:\(port)\(device.basePath ?? "")\n"
      try Files.replaceDurable(file, bytes: Array(text.utf8), mode: 0o644)
    case .unix(let path):
      relay = ConnectionRelay(
        listening: try UnixSocket.listen(path: path, mode: 0o660, group: nil), inner: inner)
    }
  }

  private func close() async {
    await relay?.stop()
    relay = nil
    switch place {
    case .loopback(let file): try? Files.unlink(file)
    case .unix(let path): try? Files.unlink(path)
    }
  }
}
