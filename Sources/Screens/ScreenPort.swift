import Channels
import Posix
import Synchronization
import WireJSON

/// One screen: what is shown on it, the pages that show it, and what they tell.
final class ScreenPort: Sendable {
  private struct State {
    var view = ScreenView(step: "start", .outOfService(text: nil), isExtendable: false)
    var revision = 1
    var deadline: Duration?
    var pages: [Int: AsyncStream<[UInt8]>.Continuation] = [:]
    var nextPage = 1
    var link: (id: Int, continuation: AsyncStream<ScreenEvent>.Continuation)?
    var nextLink = 1
  }
  private let state = Mutex(State())
  private let now: @Sendable () -> Duration
  private let place: @Sendable () -> String?

  init(now: @escaping @Sendable () -> Duration, place: @escaping @Sendable () -> String?) {
    self.now = now
    self.place = place
  }

  // MARK: The agent's side

  /// Takes the screen; one holder at a time.
  func open() throws(ChannelError) -> PortLink {
    let (stream, continuation) = AsyncStream<ScreenEvent>.makeStream(bufferingPolicy: .bufferingNewest(256))
    let opened = state.withLock { state -> (id: Int, isPresent: Bool)? in
      guard state.link == nil else { return nil }
      let id = state.nextLink
      state.nextLink += 1
      state.link = (id, continuation)
      return (id, !state.pages.isEmpty)
    }
    guard let opened else { throw .busy("another command") }
    continuation.yield(.present(opened.isPresent))
    return PortLink(port: self, id: opened.id, events: stream)
  }

  func show(_ view: ScreenView) {
    let now = now()
    state.withLock { state in
      // More time for the same view: what is being pressed on it meanwhile is meant for it.
      if !view.isSame(as: state.view) { state.revision += 1 }
      state.view = view
      state.deadline = view.seconds.map { now + .seconds($0) }
      let bytes = message(state, now)
      for page in state.pages.values { page.yield(bytes) }
    }
  }

  func release(_ id: Int) {
    let link = state.withLock { state -> AsyncStream<ScreenEvent>.Continuation? in
      guard let link = state.link, link.id == id else { return nil }
      state.link = nil
      return link.continuation
    }
    guard let link else { return }
    link.finish()
    show(ScreenView(step: "away", .outOfService(text: nil), isExtendable: false))
  }

  // MARK: The page's side

  /// The views from now on, as server-sent events; the one that is shown at once.
  func watch() -> AsyncStream<[UInt8]> {
    let now = now()
    // Only the newest view counts: one that the page was too slow for is over.
    let (stream, continuation) = AsyncStream<[UInt8]>.makeStream(bufferingPolicy: .bufferingNewest(1))
    let (id, isFirst) = state.withLock { state in
      let id = state.nextPage
      state.nextPage += 1
      let isFirst = state.pages.isEmpty
      state.pages[id] = continuation
      continuation.yield(message(state, now))
      return (id, isFirst)
    }
    continuation.onTermination = { [weak self] _ in self?.left(id) }
    if isFirst { tell(.present(true)) }
    return stream
  }

  private func left(_ id: Int) {
    let isEmpty = state.withLock { state in
      state.pages[id] = nil
      return state.pages.isEmpty
    }
    if isEmpty { tell(.present(false)) }
  }

  /// False when the view that it answers is over.
  func input(_ input: ScreenInput, revision: Int) -> Bool {
    let (link, isCurrent) = state.withLock { ($0.link?.continuation, $0.revision == revision) }
    guard let link else { return false }
    if isCurrent {
      link.yield(.input(input, revision: revision))
    } else if case .press(let level) = input {
      link.yield(.stale(level: level))
    }
    return isCurrent
  }

  /// A picture of the view that is shown, by the name it has in the view.
  func picture(_ name: String) -> ScreenView.Page? {
    state.withLock { state in
      guard case .document(_, let pages, _) = state.view.content else { return nil }
      let parts = name.split(separator: "-").map { Int($0) }
      guard parts.count == 2, parts[0] == state.revision, let index = parts[1], pages.indices.contains(index)
      else { return nil }
      return pages[index]
    }
  }

  /// Ends every page's stream; they come back if there is anything to come back to.
  func end() {
    let pages = state.withLock { Array($0.pages.values) }
    for page in pages { page.finish() }
  }

  private func tell(_ event: ScreenEvent) {
    _ = state.withLock { $0.link?.continuation.yield(event) }
  }

  private func message(_ state: State, _ now: Duration) -> [UInt8] {
    let left = state.deadline.map { max(0, Int((($0 - now) / .seconds(1)).rounded(.up))) }
    var value = state.view.json(revision: state.revision, secondsLeft: left)
    value["place"] = place().map(JSONValue.string)
    let json = (try? JSON.encode(value)) ?? []
    return Array("data: ".utf8) + json + Array("\n\n".utf8)
  }
}

/// The agent's hold on a screen.
final class PortLink: ScreenLink {
  private let port: ScreenPort
  private let id: Int
  let events: AsyncStream<ScreenEvent>

  init(port: ScreenPort, id: Int, events: AsyncStream<ScreenEvent>) {
    self.port = port
    self.id = id
    self.events = events
  }

  func show(_ view: ScreenView) async { port.show(view) }
  func close() async { port.release(id) }
}

extension ScreenView {
  /// Whether nothing but the time has changed.
  fileprivate func isSame(as other: ScreenView) -> Bool {
    var (one, two) = (self, other)
    (one.seconds, two.seconds) = (nil, nil)
    if case .rating(var mine) = one.content, case .rating(var its) = two.content {
      (mine.correctableSeconds, its.correctableSeconds) = (0, 0)
      (one.content, two.content) = (.rating(mine), .rating(its))
    }
    return one == two
  }
}
