public import Crypto
import WireJSON

/// An answer of the intake as it came.
public struct IntakeReply: Sendable, Equatable {
  /// The HTTP status.
  public var status: Int
  /// The `Retry-After` header, if there is one.
  public var retryAfter: String?
  /// The body; at most 1 MiB of it.
  public var body: [UInt8]

  /// An answer.
  public init(status: Int, retryAfter: String? = nil, body: [UInt8] = []) {
    self.status = status
    self.retryAfter = retryAfter
    self.body = body
  }
}

/// An event that the intake names as rejected.
public struct Rejection: Sendable, Equatable {
  /// The event's id.
  public var id: String
  /// The intake's own words.
  public var reason: String

  /// A rejection.
  public init(id: String, reason: String) {
    self.id = id
    self.reason = reason
  }
}

/// What an answer means (intake API v1: the two tables).
public enum IntakeVerdict: Sendable, Equatable {
  /// Stored durably, save those events named.
  case accepted(rejected: [Rejection])
  /// 409 to events: they were there already; of a batch it is not known which.
  case alreadyThere
  /// 400 to a page: the bytes do not match their digest.
  case mismatch
  /// Trouble with the item, or with one in the batch.
  case refused(status: Int)
  /// Trouble with the intake as a whole; after how many seconds it wants to be asked again, if it says so.
  case endpoint(EndpointTrouble, retryAfterSeconds: Int?)

  /// What an answer to `PUT /v1/blobs/{sha256}` means.
  public static func page(_ reply: IntakeReply, digest: Digest, now: Int64) -> IntakeVerdict {
    switch reply.status {
    case 201, 204: .accepted(rejected: [])
    case 200 where object(reply.body) == ["stored": .string(digest.hex)]: .accepted(rejected: [])
    case 400: .mismatch
    case 413, 415, 422: .refused(status: reply.status)
    default: endpoint(reply, now: now)
    }
  }

  /// What an answer to `POST /v1/events` means for a batch with these ids.
  public static func events(_ reply: IntakeReply, ids: Set<String>, now: Int64) -> IntakeVerdict {
    switch reply.status {
    case 204: .accepted(rejected: [])
    case 200: rejections(reply.body, ids).map(accepted) ?? endpoint(reply, now: now)
    case 409: .alreadyThere
    case 400, 413, 422: .refused(status: reply.status)
    default: endpoint(reply, now: now)
    }
  }

  private static func endpoint(_ reply: IntakeReply, now: Int64) -> IntakeVerdict {
    let trouble: EndpointTrouble =
      switch reply.status {
      case 429, 503: .busy
      case 401, 403: .unauthorised
      case 404, 405: .notFound
      case 300..<400: .redirect
      case 500..<600: .serverError
      default: .unexpectedAnswer
      }
    return .endpoint(
      trouble, retryAfterSeconds: reply.retryAfter.flatMap { RetryAfter.seconds($0, now: now) })
  }

  private static func object(_ body: [UInt8]) -> [String: JSONValue]? {
    guard let value = try? JSON.parse(body) else { return nil }
    return value.object
  }

  /// The rejections, if the body is exactly `{"rejected":[{"id":"…","reason":"…"}…]}` and every id is one that was sent: an
  /// answer about something else is no answer.
  private static func rejections(_ body: [UInt8], _ ids: Set<String>) -> [Rejection]? {
    guard let members = object(body), members.count == 1, let list = members["rejected"]?.array else {
      return nil
    }
    var rejections: [Rejection] = []
    for entry in list {
      guard let entry = entry.object, entry.count == 2, let id = entry["id"]?.string, ids.contains(id),
        let reason = entry["reason"]?.string
      else { return nil }
      rejections.append(Rejection(id: id, reason: reason))
    }
    return rejections
  }
}

/// The `Retry-After` header (RFC 9110, 10.2.3): seconds, or a date in IMF-fixdate.
enum RetryAfter {
  /// An hour: an answer cannot silence the agent for longer.
  static let longest = 3600

  /// Seconds from `now` (seconds since 1970), at most ``longest``; nil if the text is neither form.
  static func seconds(_ text: String, now: Int64) -> Int? {
    let text = text.trimmingSpace
    if let seconds = UInt64(text), text.allSatisfy(\.isASCII) { return Int(min(seconds, UInt64(longest))) }
    guard let date = date(text) else { return nil }
    return Int(min(max(date - now, 0), Int64(longest)))
  }

  /// `Sun, 06 Nov 1994 08:49:37 GMT` in seconds since 1970.
  private static func date(_ text: String) -> Int64? {
    let parts = text.split(separator: " ")
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    guard parts.count == 6, parts[0].count == 4, parts[0].hasSuffix(","), parts[5] == "GMT",
      let day = Int64(parts[1]), (1...31).contains(day),
      let month = months.firstIndex(of: String(parts[2])),
      let year = Int64(parts[3]), (1970...9999).contains(year)
    else { return nil }
    let clock = parts[4].split(separator: ":", omittingEmptySubsequences: false).map { Int64($0) ?? -1 }
    guard clock.count == 3, (0...23).contains(clock[0]), (0...59).contains(clock[1]),
      (0...60).contains(clock[2])
    else { return nil }
    // Days since 1970-01-01 in the Gregorian calendar, counted in years that begin in March.
    let marchYear = month < 2 ? year - 1 : year
    let monthFromMarch = Int64((month + 10) % 12)
    let dayOfYear = (153 * monthFromMarch + 2) / 5 + day - 1
    let days = marchYear * 365 + marchYear / 4 - marchYear / 100 + marchYear / 400 + dayOfYear - 719_468
    return days * 86_400 + clock[0] * 3600 + clock[1] * 60 + clock[2]
  }
}

extension String {
  var trimmingSpace: String {
    let start = drop { $0 == " " || $0 == "\t" }
    return String(start.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
  }
}
