public import Crypto
public import Posix
public import Store

/// Why the outbox did not take or give something.
public enum OutboxError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The database.
  case store(StoreError)
  /// The directory of the pages, or a file in it.
  case files(SystemError)
  /// Sealing under the key.
  case sealing(CryptoError)
  /// No more pages are taken until some have been delivered; events still are.
  case full(FullReason)
  /// A page of that many bytes is larger than any that is taken.
  case tooLarge(bytes: Int, limit: Int)
  /// There is no such page here: never stored, or delivered and erased.
  case noSuchBlob(Digest)
  /// The page is here and cannot be read, for the reason given.
  case unreadable(Digest, QuarantineReason)
  /// There is no such item in quarantine.
  case noSuchItem(String)
  /// What was handed over has no place in an event or page; with a sentence.
  case invalid(String)

  /// Why no more pages are taken.
  public enum FullReason: Sendable, Equatable {
    /// The configured number of bytes is reached.
    case quotaBytes(Int64)
    /// The configured number of pages is reached.
    case quotaItems(Int)
    /// The configured number of waiting events is reached.
    case quotaEvents(Int)
    /// The oldest event has waited as long as is configured.
    case quotaWait(seconds: Int64)
    /// The file system has less room left than is kept free.
    case disk(freeBytes: Int64)
  }

  /// One English sentence.
  public var description: String {
    switch self {
    case .store(let error): error.description
    case .files(let error): "The page store failed: \(error)"
    case .sealing(let error): error.description
    case .full(.quotaBytes(let bytes)):
      "No more pages are taken: \(bytes) bytes are waiting to be delivered, the configured limit."
    case .full(.quotaItems(let count)):
      "No more pages are taken: \(count) pages are waiting to be delivered, the configured limit."
    case .full(.quotaEvents(let count)):
      "No more pages are taken: \(count) events are waiting to be delivered, the configured limit."
    case .full(.quotaWait(let seconds)):
      "No more pages are taken: the oldest event has been waiting for \(seconds / 3600) hours, the configured limit."
    case .full(.disk(let free)): "No more pages are taken: the disk has \(free) bytes left."
    case .tooLarge(let bytes, let limit): "A page of \(bytes) bytes is larger than the limit of \(limit)."
    case .noSuchBlob(let digest): "There is no page \(digest) here."
    case .unreadable(let digest, let reason): "The page \(digest) cannot be read: \(reason)"
    case .noSuchItem(let id): "There is no item \(id) in quarantine."
    case .invalid(let sentence): sentence
    }
  }

  /// What a person does about it; one English sentence.
  public var advice: String {
    switch self {
    case .store(let error): error.advice
    case .files: "Check the disk and who owns the state directory."
    case .sealing: "Check the sealing key."
    case .full: "See to it that the intake service runs; free space on the disk, or raise the limit."
    case .tooLarge: "Scan at a lower resolution."
    case .noSuchBlob: "Scan the page again if it is still needed."
    case .unreadable(_, let reason): reason.advice
    case .noSuchItem: "List the quarantine again."
    case .invalid: "Report this to the vendor with the support bundle."
    }
  }
}

/// Why an item was set aside.
public enum QuarantineReason: Sendable, Equatable, CustomStringConvertible {
  /// The intake refused it with that status, again and again for an hour.
  case refused(status: Int)
  /// The intake named it as rejected, in its own words.
  case rejected(String)
  /// The intake says that the bytes do not match their digest, though they do here.
  case mismatch
  /// It alone drew no proper answer for an hour, while others were accepted; what it drew.
  case noAnswer(EndpointTrouble)
  /// The row or file is not what was written.
  case damaged
  /// It was sealed under another key.
  case otherKey
  /// It is sealed and there is no key.
  case keyMissing
  /// The file of a page is gone.
  case missing
  /// A page that the event names was set aside.
  case pageSetAside
  /// The event that named this page was lost with the database.
  case eventLost
  /// Nothing is wrong with the page itself: an event that names it was set aside.
  case eventSetAside

  /// A stable word for programs and the database.
  public var code: String {
    switch self {
    case .refused(let status): "refused:\(status)"
    case .rejected: "rejected"
    case .mismatch: "mismatch"
    case .noAnswer(let trouble): "noAnswer:\(trouble.key)"
    case .damaged: "damaged"
    case .otherKey: "otherKey"
    case .keyMissing: "keyMissing"
    case .missing: "missing"
    case .pageSetAside: "pageSetAside"
    case .eventLost: "eventLost"
    case .eventSetAside: "eventSetAside"
    }
  }

  init(code: String, words: String?) {
    let parts = code.split(separator: ":", maxSplits: 1)
    let detail = parts.count > 1 ? String(parts[1]) : ""
    self =
      switch parts.first {
      case "refused": .refused(status: Int(detail) ?? 0)
      case "rejected": .rejected(words ?? "")
      case "mismatch": .mismatch
      case "noAnswer": .noAnswer(EndpointTrouble(key: detail))
      case "otherKey": .otherKey
      case "keyMissing": .keyMissing
      case "missing": .missing
      case "pageSetAside": .pageSetAside
      case "eventLost": .eventLost
      case "eventSetAside": .eventSetAside
      default: .damaged
      }
  }

  /// One English sentence.
  public var description: String {
    switch self {
    case .refused(let status): "The intake refuses it (\(status))."
    case .rejected(let words): "The intake rejected it: \(words)"
    case .mismatch: "The intake says that its bytes do not match; they do here."
    case .noAnswer(let trouble): "It alone draws no proper answer from the intake: \(trouble.sentence)"
    case .damaged: "It is damaged."
    case .otherKey: "It was sealed under another key."
    case .keyMissing: "It is sealed and there is no key."
    case .missing: "Its file is gone."
    case .pageSetAside: "A page that it names was set aside."
    case .eventLost: "The event that named this page was lost with the database."
    case .eventSetAside: "An event that names it was set aside."
    }
  }

  /// What a person does about it; one English sentence.
  public var advice: String {
    switch self {
    case .refused, .rejected, .mismatch, .noAnswer:
      "Have the intake service's log read for this item's id, then retry; or export and discard it."
    case .damaged, .missing: "Check the disk; take it up again if it is still needed, then discard this."
    case .otherKey, .keyMissing: "Restore the key that was in use then, restart the agent, and retry."
    case .pageSetAside: "See to the page first, then retry."
    case .eventSetAside: "See to the event; the page goes with it."
    case .eventLost: "Export the page, hand it over by hand, and discard it."
    }
  }
}
