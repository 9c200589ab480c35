public import HTTPClient
public import WireJSON

/// Why a call to the agent gave no answer.
public enum AgentCallError: Error, Sendable, Equatable {
  /// The agent refused, with its problem document.
  case problem(status: Int, JSONValue)
  /// The agent cannot be reached.
  case unreachable(HTTPClientError)
  /// What came is not of the API.
  case garbled(String)
}

/// The agent API's client: calls are made by ``Route``, so that no path is written twice.
public struct AgentClient: Sendable {
  private let client: HTTPClient
  private let language: Language

  /// A client of the agent at a socket.
  public init(socket: String, language: Language) {
    client = HTTPClient(target: .unix(path: socket), ownerCheck: nil, maximumBodyBytes: 256 << 20)
    self.language = language
  }

  /// Calls a route and gives its JSON answer; `timeout` is for the whole.
  public func call(
    _ route: Route, _ parameters: [String: String] = [:], query: [(String, String)] = [],
    body: JSONValue? = nil,
    timeout: Duration = .seconds(60)
  ) async throws(AgentCallError) -> JSONValue {
    let bytes: [UInt8]
    do throws(JSONError) {
      bytes = if let body { try JSON.encode(body) } else { [] }
    } catch {
      throw .garbled("\(error)")
    }
    let answer = try await raw(
      route, parameters, query: query, body: bytes, contentType: body == nil ? nil : "application/json",
      timeout: timeout)
    do throws(JSONError) {
      return try JSON.parse(answer)
    } catch {
      throw .garbled("\(error)")
    }
  }

  /// Calls a route with a body of any kind and gives the answer's bytes.
  public func raw(
    _ route: Route, _ parameters: [String: String] = [:], query: [(String, String)] = [], body: [UInt8] = [],
    contentType: String? = nil, timeout: Duration = .seconds(60)
  ) async throws(AgentCallError) -> [UInt8] {
    let specification = route.specification
    let method: HTTPMethod =
      switch specification.method {
      case "GET": .get
      case "DELETE": .delete
      default: .post
      }
    let response: ClientResponse
    do throws(HTTPClientError) {
      // Every command carries its idempotency key, so that sending it again over a new connection does no harm.
      response = try await client.send(
        method, Self.path(specification, parameters, query),
        headers: [("Accept-Language", language.rawValue)],
        body: body, contentType: contentType, timeout: timeout, idempotent: true)
    } catch {
      throw .unreachable(error)
    }
    guard (200...299).contains(response.status) else {
      throw .problem(status: response.status, (try? JSON.parse(response.body)) ?? .object([:]))
    }
    return response.body
  }

  /// The event stream, as its text comes.
  public func events(after last: String? = nil) async throws(AgentCallError) -> ClientStream {
    let path = Self.path(Route.watchEvents.specification, [:], last.map { [("after", $0)] } ?? [])
    do throws(HTTPClientError) {
      return try await client.stream(path, headers: [], timeout: .seconds(10))
    } catch {
      throw .unreachable(error)
    }
  }

  /// Ends what is under way.
  public func close() async { await client.close() }

  private static func path(
    _ specification: Route.Specification, _ parameters: [String: String], _ query: [(String, String)]
  ) -> String {
    var path = specification.segments.map { segment in
      segment.hasPrefix("{")
        ? "/" + escaped(parameters[String(segment.dropFirst().dropLast())] ?? "") : "/" + segment
    }.joined()
    if !query.isEmpty { path += "?" + query.map { "\($0)=\(escaped($1))" }.joined(separator: "&") }
    return path
  }

  private static func escaped(_ text: String) -> String {
    let hex = Array("0123456789ABCDEF")
    var result = ""
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"), UInt8(ascii: ":"):
        result.unicodeScalars.append(Unicode.Scalar(byte))
      default: result += "%\(hex[Int(byte >> 4)])\(hex[Int(byte & 15)])"
      }
    }
    return result
  }
}
