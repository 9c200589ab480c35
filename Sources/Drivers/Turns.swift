/// Lets one thing happen after another where several callers share a line. What has begun runs to its end.
actor Turns {
  private var last: Task<Void, Never>?

  /// Runs `body` when everything asked for earlier has ended.
  func take<Value: Sendable, Failure: Error>(
    _ body: @escaping @Sendable () async throws(Failure) -> Value
  ) async throws(Failure) -> Value {
    let earlier = last
    let task = Task { () async -> Result<Value, Failure> in
      await earlier?.value
      do throws(Failure) {
        return .success(try await body())
      } catch {
        return .failure(error)
      }
    }
    last = Task { _ = await task.value }
    return try await task.value.get()
  }
}
