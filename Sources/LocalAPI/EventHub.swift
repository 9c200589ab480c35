public import WireJSON

/// Distributes what happens to whoever listens at `GET /v1/events`, as server-sent events (WHATWG HTML 9.2).
///
/// Events carry a rising id. A listener that comes back with `Last-Event-ID` gets what it missed as far as the ring
/// still holds it; when it does not, the first event it gets is `gap`, so that it knows to ask for the whole state.
public actor EventHub {
  private struct Entry {
    let id: UInt64
    let name: String
    let text: [UInt8]
  }
  private var ring: [Entry] = []
  private var next: UInt64
  private var listeners: [UInt64: AsyncStream<[UInt8]>.Continuation] = [:]
  private var nextListener: UInt64 = 0
  private let capacity: Int
  private let backlog: Int

  /// A hub that remembers `capacity` events. `firstID` must rise from one start of the program to the next (a time in
  /// microseconds does), so that an id of an earlier run is never taken for one of this run.
  public init(firstID: UInt64, capacity: Int = 1024, listenerBacklog: Int = 512) {
    next = firstID
    self.capacity = capacity
    backlog = listenerBacklog
  }

  /// Tells every listener. `data` holds nothing that any role must not know.
  public func publish(_ name: String, _ data: JSONValue) {
    let id = next
    next += 1
    let body = (try? JSON.encode(data)) ?? []
    let text = Array("id: \(id)\nevent: \(name)\ndata: ".utf8) + body + Array("\n\n".utf8)
    ring.append(Entry(id: id, name: name, text: text))
    if ring.count > capacity { ring.removeFirst(ring.count - capacity) }
    for (key, listener) in listeners {
      // A listener that does not read is let go: it reconnects and resumes by id.
      if case .dropped = listener.yield(text) {
        listener.finish()
        listeners[key] = nil
      }
    }
  }

  /// A stream of ready-made event texts, resuming after `lastID`.
  public func subscribe(after lastID: UInt64?) -> AsyncStream<[UInt8]> {
    let (stream, continuation) = AsyncStream.makeStream(
      of: [UInt8].self, bufferingPolicy: .bufferingOldest(backlog + capacity))
    let key = nextListener
    nextListener += 1
    continuation.yield(Array(": hall agent\nretry: 1000\n\n".utf8))
    if let lastID, lastID < next {
      let oldest = ring.first?.id ?? next
      if lastID + 1 < oldest {
        continuation.yield(Array("id: \(oldest == 0 ? 0 : oldest - 1)\nevent: gap\ndata: {}\n\n".utf8))
      }
      for entry in ring where entry.id > lastID { continuation.yield(entry.text) }
    }
    listeners[key] = continuation
    continuation.onTermination = { _ in Task { await self.remove(key) } }
    return stream
  }

  /// Sends a comment line to every listener, so that proxies and clients see that the line lives.
  public func keepAlive() {
    for listener in listeners.values { listener.yield(Array(":\n\n".utf8)) }
  }

  /// How many listen now.
  public var listenerCount: Int { listeners.count }

  /// Ends every listener's stream.
  public func finish() {
    for listener in listeners.values { listener.finish() }
    listeners = [:]
  }

  private func remove(_ key: UInt64) { listeners[key] = nil }
}
