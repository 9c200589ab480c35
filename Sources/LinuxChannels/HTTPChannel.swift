public import Channels
internal import HTTPClient
internal import Posix

/// An HTTP device on 127.0.0.1: an eSCL scanner behind ipp-usb.
///
/// Whoever listens there is accepted: ipp-usb runs as root. Redirects are not followed; the answer is handed over as it
/// is. One exchange at a time, others wait: to interrupt a page that is awaited, its task is cancelled.
public final class HTTPChannel: HTTPExchange {
  /// Largest answer in bytes: a page in colour at 600 dpi, as JPEG, has less than 20 MB.
  public static let bodyLimit = 64 << 20

  /// Path under which the device serves, without a trailing slash.
  public let basePath: String

  private let client: HTTPClient
  private let place: String

  /// Makes sure that somebody listens on the port, and connects with the first exchange.
  /// - Parameter basePath: as in the address, such as `/eSCL`; empty for the root.
  /// - Throws: `.absent` when nobody listens.
  public static func open(port: UInt16, basePath: String) throws(ChannelError) -> HTTPChannel {
    let place = "http://127.0.0.1:\(port)\(basePath)"
    let listener: UInt32??
    do throws(SystemError) {
      listener = try Loopback.ownerOfListener(port: port)
    } catch {
      // Without the kernel's table the first exchange finds out.
      listener = .none
    }
    if case .some(nil) = listener { throw .absent(place) }
    let client = HTTPClient(target: .loopback(port: port), maximumBodyBytes: bodyLimit)
    return HTTPChannel(basePath: basePath, client: client, place: place)
  }

  private init(basePath: String, client: HTTPClient, place: String) {
    self.basePath = basePath
    self.client = client
    self.place = place
  }

  /// Sends one request and waits for the whole answer.
  /// - Throws: `.absent` when nobody listens any more, `.gone` when the connection ends before the answer does,
  ///   `.malformed` for an answer that is not HTTP or larger than ``bodyLimit``, and for a request that cannot be sent.
  public func exchange(
    _ request: HTTPRequest, timeout: Duration
  ) async throws(ChannelError) -> HTTPResponse {
    guard let method = HTTPMethod(rawValue: request.method) else {
      throw .malformed("\(place): no method \(request.method)")
    }
    do throws(HTTPClientError) {
      let response = try await client.send(
        method, request.path, body: request.body, contentType: request.contentType, timeout: timeout,
        // `NextDocument` is a GET that takes a page away (facts/devices.md D3): nothing is asked for twice here.
        idempotent: false)
      return HTTPResponse(status: response.status, headers: response.headers, body: response.body)
    } catch {
      throw ChannelError(error, at: place)
    }
  }

  /// Ends the channel; an exchange under way ends with `.cancelled`.
  public func close() async { await client.close() }
}
