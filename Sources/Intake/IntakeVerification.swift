/// What a receiving intake has, read again from its own disk, and everything that is wrong with it.
public struct IntakeVerification: Sendable, Equatable {
  /// Events by type; each id counts once.
  public var events: [String: Int] = [:]
  /// How many events came with an id that was there already: at-least-once delivery makes some.
  public var duplicates = 0
  /// How many events came after a later one of their source, having been refused before: retried by hand (intake API v1).
  public var late = 0
  /// Pages and attachments whose bytes on the disk are the right ones.
  public var blobs = 0
  /// Their bytes.
  public var blobBytes = 0
  /// One English sentence for each thing that is wrong; empty if all is well.
  public var problems: [String] = []

  /// Nothing.
  public init() {}

  /// All events.
  public var eventCount: Int { events.values.reduce(0, +) }
}

/// Something that a receiving intake has just taken.
public enum IntakeNotice: Sendable, Equatable {
  /// A page or attachment, by its SHA-256 in hexadecimal digits.
  case blob(digest: String, mediaType: String, bytes: Int)
  /// An event.
  case event(type: String, id: String, source: String)
  /// An event that was there already.
  case duplicate(id: String)
}

/// What a receiving intake does wrong on purpose, for tests of who sends to it and of its own verification.
public enum IntakeFault: Sendable, Equatable {
  /// Writes the nth page from now (1 is the next) with one byte changed, and says "stored".
  case storeOneByteWrong(nth: Int)
  /// Throws the nth event from now (of that type, or of any) away, and says "stored".
  case dropEvent(nth: Int, type: String? = nil)
  /// Gives this answer to the next so many requests, and takes nothing.
  case answer(status: Int, body: String = "", retryAfter: String? = nil, requests: Int)
  /// Takes the next so many requests properly and then answers with this status, as when it dies between its commit and its
  /// answer.
  case takeAndAnswer(status: Int, requests: Int)
  /// Rejects the nth event from now (of that type, or of any) by name.
  case reject(nth: Int, type: String? = nil, reason: String)
}
