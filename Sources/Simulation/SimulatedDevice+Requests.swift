public import Channels

/// What a client of a simulated HTTP device gets.
public enum SimulatedExchange: Sendable, Equatable {
  /// A whole answer.
  case answered(HTTPResponse)
  /// An answer that breaks off: the connection is closed in the middle of its body.
  case cut(HTTPResponse)
  /// Nothing: the connection is closed.
  case closed
}

extension SimulatedDevice {
  func apply(_ command: HTTPFaults.Command) {
    let wasPlugged = requests.isPlugged
    requests.arm(command)
    if wasPlugged, !requests.isPlugged {
      note(SimulationRecord("unplug"))
      changed()
    } else if !wasPlugged, requests.isPlugged {
      note(SimulationRecord("plug"))
      changed()
    }
    guard !requests.isHanging || !requests.isPlugged else { return }
    let waiting = hanging.values
    hanging = [:]
    for request in waiting { request.resume() }
  }

  /// Answers a request as the device and the faults in force would; waits as long as the device makes its client wait.
  /// `.closed` when the task is cancelled.
  public func exchange(_ request: HTTPRequest) async -> SimulatedExchange {
    while requests.isPlugged, requests.isHanging, !Task.isCancelled { await waitForResume() }
    guard requests.isPlugged, !Task.isCancelled, http != nil else { return .closed }
    let fate = requests.decide()
    if fate == .dropped { return .closed }
    if case .refused(let status) = fate {
      return .answered(HTTPResponse(status: status, headers: ["retry-after": "1"]))
    }
    if request.body.count > bodyLimit { return .answered(HTTPResponse(status: 413)) }
    guard let answer = http?.respond(request) else { return .closed }
    perform(answer.actions)
    let wait = answer.after + requests.delay
    if wait > .zero, await !time.sleep(for: wait) { return .closed }
    guard requests.isPlugged else { return .closed }
    return fate == .cut ? .cut(answer.response) : .answered(answer.response)
  }

  private func waitForResume() async {
    lastHang += 1
    let id = lastHang
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        if Task.isCancelled { continuation.resume() } else { hanging[id] = continuation }
      }
    } onCancel: {
      Task { await self.release(id) }
    }
  }

  private func release(_ id: Int) { hanging.removeValue(forKey: id)?.resume() }

  func openRequests() throws(ChannelError) {
    guard requests.isPlugged else { throw .absent("simulated:\(name)") }
  }
}
