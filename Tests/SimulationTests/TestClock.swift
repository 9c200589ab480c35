import Channels
import Synchronization

/// A clock that stands still until a test moves it.
final class TestClock: Timekeeper {
  private struct Sleeper {
    let due: Duration
    let done: CheckedContinuation<Bool, Never>
  }
  private struct State {
    var now = Duration.zero
    var last = 0
    var sleepers: [Int: Sleeper] = [:]
    var cancelled: Set<Int> = []
    var watchers: [(id: Int, count: Int, done: CheckedContinuation<Void, Never>)] = []
  }
  private let state = Mutex(State())

  func now() -> Duration { state.withLock { $0.now } }

  func sleep(for duration: Duration) async -> Bool {
    let id = state.withLock { state in
      state.last += 1
      return state.last
    }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let result: (Bool?, [CheckedContinuation<Void, Never>]) = state.withLock { state in
          if state.cancelled.remove(id) != nil { return (false, []) }
          if duration <= .zero { return (true, []) }
          state.sleepers[id] = Sleeper(due: state.now + duration, done: continuation)
          let ready = state.watchers.filter { $0.count <= state.sleepers.count }.map(\.done)
          state.watchers.removeAll { $0.count <= state.sleepers.count }
          return (nil, ready)
        }
        if let answer = result.0 { continuation.resume(returning: answer) }
        for watcher in result.1 { watcher.resume() }
      }
    } onCancel: {
      let sleeper = state.withLock { state in
        let sleeper = state.sleepers.removeValue(forKey: id)
        if sleeper == nil { state.cancelled.insert(id) }
        return sleeper
      }
      sleeper?.done.resume(returning: false)
    }
  }

  /// Moves on and wakes whoever's time has come, the earliest first.
  func advance(_ duration: Duration) {
    let due = state.withLock { state in
      state.now += duration
      let due = state.sleepers.filter { $0.value.due <= state.now }.sorted { $0.value.due < $1.value.due }
      for (id, _) in due { state.sleepers[id] = nil }
      return due.map(\.value.done)
    }
    for sleeper in due { sleeper.resume(returning: true) }
  }

  /// Returns once that many sleep, or when the task is cancelled.
  func waitForSleepers(_ count: Int) async {
    let id = state.withLock { state in
      state.last += 1
      return state.last
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isThere = state.withLock { state in
          if state.sleepers.count >= count || state.cancelled.remove(id) != nil { return true }
          state.watchers.append((id, count, continuation))
          return false
        }
        if isThere { continuation.resume() }
      }
    } onCancel: {
      let watcher = state.withLock { state in
        guard let index = state.watchers.firstIndex(where: { $0.id == id }) else {
          state.cancelled.insert(id)
          return nil as CheckedContinuation<Void, Never>?
        }
        return state.watchers.remove(at: index).done
      }
      watcher?.resume()
    }
  }
}
