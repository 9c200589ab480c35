import Crypto
public import HTTPServer
public import Posix
import WireJSON

/// An intake service that serves intake API v1, keeps what it is sent durably before it answers, and can verify all of it from
/// its own disk: for demonstrations and tests.
///
/// It reads and checks with code of its own, apart from the sender's.
public final class ReceivingIntake: Sendable {
  private let store: IntakeStore
  private let server: HTTPServer

  /// Larger pages are answered with 413.
  private static let pageLimit = 64 * 1024 * 1024
  private static let batchLimit = 1024 * 1024
  private static let mediaTypes = [
    "image/jpeg", "image/png", "image/tiff", "application/pdf", "application/json",
  ]

  /// Starts serving.
  /// - Parameters:
  ///   - directory: where pages and journal lie; made if it is not there; what an earlier run left there counts.
  ///   - listening: a listening stream socket.
  /// - Throws: ``IntakeStartError``
  public init(directory: String, listening: consuming Descriptor) async throws(IntakeStartError) {
    do throws(SystemError) {
      store = try IntakeStore(directory: directory)
    } catch { throw .directory(error) }
    do throws(IntakeFailure) { try await store.resume() } catch { throw .journal("\(error)") }
    let limits = ServerLimits(
      maximumBodyBytes: { method, _ in method == "PUT" ? Self.pageLimit : Self.batchLimit },
      connections: 64, connectionsPerProcess: 64)
    let store = store
    do throws(HTTPServerError) {
      server = try HTTPServer(listening: listening, name: "intake", limits: limits) { request in
        await Self.handle(request, store)
      }
    } catch { throw .server(error) }
  }

  /// Starts serving on a Unix socket of that path, which only this user may connect to.
  public convenience init(directory: String, socketPath: String) async throws(IntakeStartError) {
    let descriptor: Descriptor
    do throws(SystemError) {
      descriptor = try UnixSocket.listen(path: socketPath, mode: 0o600, group: nil)
    } catch { throw .socket(error) }
    try await self.init(directory: directory, listening: descriptor)
  }

  /// Stops serving. What was answered is on the disk.
  /// - Parameter grace: how long requests under way may go on.
  public func stop(grace: Duration = .seconds(5)) async { await server.stop(grace: grace) }

  /// What it has, read again from the disk, and everything that is wrong with it.
  public func verification() async -> IntakeVerification { await store.verify() }

  /// What it takes from now on.
  public func notices() async -> AsyncStream<IntakeNotice> {
    let (stream, continuation) = AsyncStream<IntakeNotice>.makeStream()
    await store.listen(continuation)
    return stream
  }

  /// Makes it do something wrong.
  public func inject(_ fault: IntakeFault) async { await store.inject(fault) }

  // MARK: Requests

  private static func handle(_ request: ServerRequest, _ store: IntakeStore) async -> ServerResponse {
    let segments = request.pathSegments
    if segments.count == 3, segments[0] == "v1", segments[1] == "blobs" {
      guard request.method == "PUT" else { return .text(405, "Pages are PUT.\n") }
      return await put(request, segments[2], store)
    }
    if segments == ["v1", "events"] {
      guard request.method == "POST" else { return .text(405, "Events are POSTed.\n") }
      guard request.header("Content-Type") == "application/cloudevents-batch+json" else {
        return .text(415, "Events come as application/cloudevents-batch+json.\n")
      }
      return response(await store.post(request.body))
    }
    return .text(404, "There is nothing here.\n")
  }

  private static func put(_ request: ServerRequest, _ name: String, _ store: IntakeStore) async
    -> ServerResponse
  {
    guard let digest = Digest(hex: name) else {
      return .text(400, "The path is not a SHA-256 in lower case.\n")
    }
    guard let mediaType = request.header("Content-Type"), mediaTypes.contains(mediaType) else {
      return .text(415, "Pages are JPEG, PNG, TIFF, PDF or JSON.\n")
    }
    guard request.header("Content-Length") != nil else { return .text(411, "The length has to be given.\n") }
    return response(await store.put(digest, mediaType, request.body))
  }

  private static func response(_ answer: IntakeStore.Answer) -> ServerResponse {
    switch answer {
    case .stored: return ServerResponse(status: 204)
    case .rejected(let list):
      guard let body = try? JSON.encode(["rejected": list]) else {
        return .text(500, "No answer could be made.\n")
      }
      return ServerResponse(
        status: 200, headers: [("Content-Type", "application/json")], body: .bytes(body))
    case .refused(let status, let sentence): return .text(status, sentence + "\n")
    case .scripted(let status, let body, let retryAfter):
      return ServerResponse(
        status: status, headers: retryAfter.map { [("Retry-After", $0)] } ?? [],
        body: .bytes(Array(body.utf8)))
    }
  }
}

/// Why a receiving intake could not be started.
public enum IntakeStartError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Its directory cannot be used.
  case directory(SystemError)
  /// What an earlier run left cannot be read; with a sentence.
  case journal(String)
  /// The socket cannot be listened on.
  case socket(SystemError)
  /// The server did not start.
  case server(HTTPServerError)

  /// One English sentence.
  public var description: String {
    switch self {
    case .directory(let error): "The intake's directory cannot be used: \(error)"
    case .journal(let words): "The intake's journal cannot be read: \(words)"
    case .socket(let error): "The intake's socket cannot be listened on: \(error)"
    case .server(let error): "The intake's server did not start: \(error)"
    }
  }
}
