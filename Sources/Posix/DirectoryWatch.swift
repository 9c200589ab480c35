private import CLinux
internal import Glibc

/// Tells when a file comes into being, without looking again and again (inotify(7)).
public enum DirectoryWatch {
  /// A value each time something of that name is made, is moved there or has its permissions changed; the directories above
  /// it may come and go meanwhile.
  ///
  /// The stream ends when it is dropped, or at once where the system has no more inotify instances: who waits must be able to
  /// go on without. Several appearances may come as one.
  /// - Parameter path: absolute.
  public static func appearances(of path: String) -> AsyncStream<Void> {
    let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    let task = Task {
      await follow(path, continuation)
      continuation.finish()
    }
    continuation.onTermination = { _ in task.cancel() }
    return stream
  }

  private static func follow(_ path: String, _ continuation: AsyncStream<Void>.Continuation) async {
    var known = inode(path)
    while !Task.isCancelled {
      let raw = inotify_init1(Int32(IN_CLOEXEC | IN_NONBLOCK))
      guard raw >= 0 else { return }
      let watch = Descriptor(adopting: raw)
      let mask = UInt32(IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
      let directory = nearestDirectory(above: path)
      guard unsafe inotify_add_watch(watch.raw, directory, mask) >= 0 else {
        // It went between looking and watching, unless the system has no more watches.
        if directory == nearestDirectory(above: path) { return }
        continue
      }
      // What came before the watch was set makes no event.
      if directory != nearestDirectory(above: path) { continue }
      let present = inode(path)
      if let present, present != known { continuation.yield() }
      known = present
      while true {
        switch await Poller.shared.wait(for: .read, on: watch.raw, timeout: nil) {
        case .ready, .hangup: break
        case .timedOut, .cancelled: return
        }
        drain(watch.raw)
        if directory != nearestDirectory(above: path) || !Files.exists(directory) { break }
        let present = inode(path)
        if present != nil { continuation.yield() }
        known = present
      }
    }
  }

  /// The events themselves say nothing that looking does not say better.
  private static func drain(_ raw: Int32) {
    var buffer = [UInt8](repeating: 0, count: 4096)
    while unsafe clinux_read(raw, &buffer, buffer.count) > 0 {}
  }

  private static func inode(_ path: String) -> UInt64? {
    (try? Files.status(of: path, followingLinks: false))?.inode
  }

  private static func nearestDirectory(above path: String) -> String {
    var directory = Files.directory(of: path)
    while (try? Files.status(of: directory))?.kind != .directory {
      let above = Files.directory(of: directory)
      if above == directory { return "/" }
      directory = above
    }
    return directory
  }
}
