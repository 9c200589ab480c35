public import Channels
internal import Glibc
internal import Posix
internal import Synchronization

/// Keys of an input device, held by this channel alone (`EVIOCGRAB`): while it is open neither the console nor the
/// desktop nor any other program hears them.
///
/// The grab is the open file's: when this process dies, the device is free at once.
public final class EvdevChannel: InputEvents {
  /// What the device calls itself.
  public let name: String

  private struct State {
    var tracker: KeyTracker
    var presses: [KeyPress] = []
    var isClosed = false
  }

  private let stream: DescriptorStream
  private let state: Mutex<State>
  /// False for a device that stamps by another clock: then the moment of reading counts.
  private let isStamped: Bool

  private init(_ node: consuming Descriptor, name: String, down: Set<UInt16>, isStamped: Bool) {
    stream = DescriptorStream(node)
    self.name = name
    self.isStamped = isStamped
    state = Mutex(State(tracker: KeyTracker(down: down)))
  }

  /// Opens `/dev/input/event*`, or a link to one, and takes it. A key that is held down meanwhile is not a press.
  /// - Throws: `.absent`, `.denied`; `.busy` with the programs that have it open when one of them has taken it;
  ///   `.malformed` for what is no input device, or has no keys.
  public static func open(path: String) async throws(ChannelError) -> EvdevChannel {
    // The first to open a USB keypad waits until its interface has woken up.
    let outcome = await BlockingCalls(name: "evdev").run(timeout: nil) {
      Result { () throws(ChannelError) in try connect(path) }
    }
    guard case .returned(let result) = outcome else { throw .cancelled }
    return try result.get()
  }

  private static func connect(_ path: String) throws(ChannelError) -> EvdevChannel {
    do throws(SystemError) {
      let node = try Files.open(path, .reading)
      if try InputDevice.hasKeys(node.raw) {
        // A device that has gone says so at the next call; one that keeps its clock is no worse for it.
        let isStamped = (try? InputDevice.useMonotonicClock(node.raw)) != nil
        try InputDevice.grab(node.raw)
        // What came before the grab others have heard too: it is thrown away with the question.
        let down = try InputDevice.keysDown(node.raw)
        let name = InputDevice.name(node.raw)
        return EvdevChannel(node, name: name, down: down, isStamped: isStamped)
      }
    } catch {
      throw ChannelError(opening: path, as: "input device", error)
    }
    throw .malformed("\(path) has no keys")
  }

  /// How often the kernel had to throw events away because they were not read in time.
  public var overflows: Int { state.withLock { $0.tracker.overflows } }

  /// The next key that goes down.
  public func next(timeout: Duration?) async throws(ChannelError) -> KeyPress {
    let time = SystemTime()
    let deadline = timeout.map { time.now() + $0 }
    while true {
      let (press, isClosed) = state.withLock { state in
        (state.presses.isEmpty ? nil : state.presses.removeFirst(), state.isClosed)
      }
      // What was not taken before the channel was closed is nobody's any more.
      if isClosed { throw .cancelled }
      if let press { return press }
      let bytes: [UInt8]
      do throws(StreamError) {
        bytes = try await stream.read(
          upTo: 64 * InputDevice.eventSize, timeout: deadline.map { $0 - time.now() })
      } catch {
        throw ChannelError(using: error)
      }
      guard !bytes.isEmpty else { throw .gone }
      try take(InputEvent.read(bytes), at: time.now())
    }
  }

  private func take(_ events: [InputEvent], at now: Duration) throws(ChannelError) {
    let isDue = state.withLock { state in
      for event in events {
        guard var press = state.tracker.take(event) else { continue }
        if !isStamped { press.time = now }
        state.presses.append(press)
      }
      return state.tracker.needsState
    }
    guard isDue else { return }
    do throws(StreamError) {
      let down = try stream.call { raw throws(SystemError) in try InputDevice.keysDown(raw) }
      state.withLock { $0.presses += $0.tracker.resynchronise(down) }
    } catch {
      throw ChannelError(using: error)
    }
  }

  /// Lets the device go and ends the channel.
  public func close() async {
    state.withLock { $0.isClosed = true }
    // Closing does it too, but only when a read in progress has returned. A device that is gone needs no release.
    _ = stream.withDescriptor { try? InputDevice.release($0) }
    stream.close()
  }
}
