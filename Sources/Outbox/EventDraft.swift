public import Crypto
public import Posix
public import WireJSON

/// Where an event comes from: the last part of its `source`.
public enum EventSource: Sendable, Hashable {
  /// A device, by its role at the position.
  case device(role: String)
  /// The agent itself: visits.
  case agent
}

/// How soon an event is sent, compared with other sources'.
public enum EventPriority: Int, Sendable {
  /// Ratings: before everything else.
  case rating = 0
  /// Everything else.
  case normal = 1
}

/// An event as its author hands it over: the outbox gives it its id, source, epoch and sequence.
///
/// Its data may be a citizen's: it cannot be printed.
public struct EventDraft: Sendable, CustomStringConvertible, CustomReflectable {
  /// Where it comes from.
  public var source: EventSource
  /// Such as `gov.hall.rating.v1`; at most 255 bytes.
  public var type: String
  /// The case number, if there is exactly one.
  public var subject: String?
  /// The visit it belongs to.
  public var visit: String?
  /// When it happened at the device.
  public var time: WallTime
  /// Whether the machine's clock was trusted then.
  public var clockTrusted: Bool
  /// Whether it comes from a simulated device, training or a health check.
  public var simulated: Bool
  /// The `data` of the event.
  public var data: JSONValue
  /// The pages that `data` names and no earlier event of the same source has: each was stored with
  /// ``Outbox/storeBlob(_:)`` and is delivered before the event. Those of earlier events have been, as order is kept; they may
  /// be gone from here already.
  public var blobs: [Digest]
  /// How soon it is sent.
  public var priority: EventPriority

  /// An event that has just happened.
  public init(
    source: EventSource, type: String, subject: String? = nil, visit: String? = nil,
    time: WallTime = .now(), clockTrusted: Bool = SystemClockState.isSynchronised,
    simulated: Bool = false, data: JSONValue, blobs: [Digest] = [],
    priority: EventPriority = .normal
  ) {
    self.source = source
    self.type = type
    self.subject = subject
    self.visit = visit
    self.time = time
    self.clockTrusted = clockTrusted
    self.simulated = simulated
    self.data = data
    self.blobs = blobs
    self.priority = priority
  }

  /// The type, and never the data.
  public var description: String { "event \(type)" }
  /// A mirror without children.
  public var customMirror: Mirror { Mirror(self, children: []) }
}

/// What an event was given when it was put into the outbox.
public struct EventRecord: Sendable, Equatable {
  /// UUIDv7: the same at every attempt to deliver it.
  public let id: String
  /// Its place among the events of its source and epoch, from 1.
  public let sequence: Int64
}

/// A page or attachment to be stored. It cannot be printed.
public struct BlobDraft: Sendable, CustomStringConvertible, CustomReflectable {
  /// The content.
  public var bytes: [UInt8]
  /// `image/jpeg`, `image/png`, `image/tiff`, `application/pdf` or `application/json`.
  public var mediaType: String
  /// The visit until whose end the content stays readable here; nil if nobody needs it after delivery.
  public var visit: String?

  /// The kinds of content that the intake takes (intake API v1).
  public static let mediaTypes = [
    "image/jpeg", "image/png", "image/tiff", "application/pdf", "application/json",
  ]

  /// A page or attachment.
  public init(bytes: [UInt8], mediaType: String, visit: String?) {
    self.bytes = bytes
    self.mediaType = mediaType
    self.visit = visit
  }

  /// Kind and size, and never the content.
  public var description: String { "\(mediaType), \(bytes.count) bytes" }
  /// A mirror without children.
  public var customMirror: Mirror { Mirror(self, children: []) }
}

/// A page that lies durably on the disk.
public struct StoredBlob: Sendable, Equatable {
  /// SHA-256 of the content: its name.
  public let digest: Digest
  /// How many bytes the content has.
  public let bytes: Int
  /// As it was given.
  public let mediaType: String
}

/// Which hall and position, and which machine: what sources and epochs are made from.
public struct OutboxIdentity: Sendable, Equatable {
  /// The hall's identifier.
  public var hall: String
  /// The position's (counter's or kiosk's) identifier.
  public var position: String
  /// The machine's own identifier (`/etc/machine-id`): another one than last time means a cloned disk. nil if it has none.
  public var machine: String?

  /// This position.
  public init(hall: String, position: String, machine: String? = ProcessInfo.machineID) {
    self.hall = hall
    self.position = position
    self.machine = machine
  }

  /// The CloudEvents `source` (a URI reference: whatever is no unreserved character is percent-encoded).
  func source(_ source: EventSource) -> String {
    let place = "/halls/\(Self.encoded(hall))/positions/\(Self.encoded(position))"
    return switch source {
    case .device(let role): "\(place)/devices/\(Self.encoded(role))"
    case .agent: "\(place)/agent"
    }
  }

  private static func encoded(_ text: String) -> String {
    var result = ""
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        result.unicodeScalars.append(Unicode.Scalar(byte))
      default: result += "%" + Hex.encode([byte]).uppercased()
      }
    }
    return result
  }
}
