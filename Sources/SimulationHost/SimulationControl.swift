internal import HTTPServer
internal import Posix
public import Simulation
public import WireJSON

extension SimulatedHall {
  /// One device for a program: `name`, `state` (names and words), `commands` (how they are written, and what for).
  public nonisolated func description(of name: String) async throws(SimulationError) -> JSONValue {
    let device = try device(name)
    var state: [String: JSONValue] = [:]
    for field in await device.state { state[field.name] = .string(field.value) }
    return [
      "name": .string(device.name), "state": .object(state),
      "commands": .array(device.commandHelp.map { .string("\($0.pattern) — \($0.help)") }),
    ]
  }

  /// Every device, in the order of the configuration.
  public nonisolated func descriptions() async -> [JSONValue] {
    var all: [JSONValue] = []
    for device in devices {
      if let one = try? await description(of: device.name) { all.append(one) }
    }
    return all
  }
}

/// Lets other programs see and change simulated devices, in HTTP and JSON on a Unix socket.
///
/// `GET /v1/simulation` lists them, `GET /v1/simulation/{name}` shows one, `POST /v1/simulation/{name}` with
/// `{"command": "paper out; drop reply 2"}` does something to it. Errors are `application/problem+json` (RFC 9457) with a
/// sentence in English, or in Chinese for `Accept-Language: zh-CN`.
public final class SimulationControl: Sendable {
  private let server: HTTPServer
  private let path: String

  /// Starts to serve at this path; only this account may connect.
  public init(_ hall: SimulatedHall, socket path: String) throws(SimulatedHallError) {
    self.path = path
    let listening: Descriptor
    do throws(SystemError) {
      listening = try UnixSocket.listen(path: path, mode: 0o600, group: nil)
    } catch {
      throw .system(error)
    }
    do throws(HTTPServerError) {
      server = try HTTPServer(
        listening: listening, name: "simulation", limits: ServerLimits(maximumBodyBytes: { _, _ in 65_536 })
      ) { await Self.answer($0, hall) }
    } catch {
      throw .server(device: "control socket")
    }
  }

  /// Stops serving and removes the socket.
  public func stop() async {
    await server.stop(grace: .seconds(1))
    try? Files.unlink(path)
  }

  private static func answer(_ request: ServerRequest, _ hall: SimulatedHall) async -> ServerResponse {
    let isChinese = request.header("Accept-Language")?.lowercased().hasPrefix("zh") ?? false
    let segments = request.pathSegments
    guard segments.count <= 3, segments.starts(with: ["v1", "simulation"]) else {
      return problem(404, "notFound", isChinese ? "没有该资源" : "there is nothing here")
    }
    do throws(SimulationError) {
      switch (request.method, segments.count) {
      case ("GET", 2): return json(["devices": .array(await hall.descriptions())])
      case ("GET", 3): return json(try await hall.description(of: segments[2]))
      case ("POST", 3):
        guard let body = try? JSON.parse(request.body), let command = body["command"]?.string else {
          let sentence = isChinese ? "请求体应为 {\"command\": \"…\"}" : "the body must be {\"command\": \"…\"}"
          return problem(400, "badRequest", sentence)
        }
        try await hall.apply(command, to: segments[2])
        return json(try await hall.description(of: segments[2]))
      default:
        return problem(405, "methodNotAllowed", isChinese ? "不支持该方法" : "not this method")
      }
    } catch {
      let sentence = isChinese ? error.chinese : error.description
      switch error {
      case .unknownDevice: return problem(404, "unknownDevice", sentence)
      case .unknownCommand: return problem(400, "unknownCommand", sentence)
      case .wrongWords: return problem(400, "wrongWords", sentence)
      case .impossible: return problem(409, "impossible", sentence)
      }
    }
  }

  private static func json(_ value: JSONValue, status: Int = 200, type: String = "application/json")
    -> ServerResponse
  {
    guard let bytes = try? JSON.encode(value) else { return ServerResponse(status: 500) }
    return ServerResponse(status: status, headers: [("Content-Type", type)], body: .bytes(bytes))
  }

  private static func problem(_ status: Int, _ code: String, _ sentence: String) -> ServerResponse {
    json(
      ["status": .integer(Int64(status)), "code": .string(code), "title": .string(sentence)], status: status,
      type: "application/problem+json")
  }
}
