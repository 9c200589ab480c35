/// Runs one blocking call on a thread of its own and waits for it without holding one of the tasks' threads.
///
/// For calls that are rare and that the kernel bounds (ioctls that talk to a device, closing one): the thread is there for
/// the call only, so that a slow device delays nobody else and nothing stays behind at rest. Libraries that block all the
/// time get an actor with a ``Worker`` instead.
/// - Parameters:
///   - name: the thread's name; Linux keeps the first 15 bytes.
///   - body: the call. It is not interrupted when the task is cancelled.
public func onOwnThread<Value: Sendable, Failure: Error>(
  _ name: String, _ body: @escaping @Sendable () throws(Failure) -> Value
) async throws(Failure) -> Value {
  try await BlockingCall(name).run(body)
}

private actor BlockingCall {
  private let worker: Worker
  nonisolated var unownedExecutor: UnownedSerialExecutor { worker.executor }

  init(_ name: String) { worker = Worker(name: name, stackSize: 128 * 1024) }

  func run<Value: Sendable, Failure: Error>(
    _ body: @Sendable () throws(Failure) -> Value
  ) throws(Failure) -> Value {
    try body()
  }
}
