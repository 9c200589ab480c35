internal import Channels
internal import Synchronization

/// Reads a byte stream for as long as it lasts, so that what a device says by itself is heard at once, and so that a
/// pulled cable is noticed while nothing is asked of it.
final class StreamReader: Sendable {
  private let stream: any ByteStream
  private let task = Mutex<Task<Void, Never>?>(nil)
  /// A read that nothing answers is begun anew after this time: once an hour is not a wake-up worth saving.
  private static let patience = Duration.seconds(3600)

  init(_ stream: any ByteStream) { self.stream = stream }

  /// Begins to read. `received` is awaited before the next bytes are taken; `ended` is told once why no more will come,
  /// unless ``stop()`` was called.
  func start(
    received: @escaping @Sendable ([UInt8]) async -> Void,
    ended: @escaping @Sendable (ChannelError) async -> Void
  ) {
    let stream = stream
    let reading = Task {
      while !Task.isCancelled {
        do throws(ChannelError) {
          await received(try await stream.read(upTo: 4096, timeout: Self.patience))
        } catch .timedOut {
          continue
        } catch {
          if !Task.isCancelled { await ended(error) }
          return
        }
      }
    }
    task.withLock { $0 = reading }
  }

  /// Ends the reading and closes the channel.
  func stop() async {
    let reading = task.withLock { $0 }
    reading?.cancel()
    await stream.close()
    await reading?.value
  }
}
