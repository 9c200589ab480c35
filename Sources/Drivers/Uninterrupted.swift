/// Runs to its end even when the caller's task is cancelled meanwhile.
///
/// A command that is on the wire is awaited, and a clean-up is carried out, whoever has lost interest: otherwise the
/// reply would be taken for the answer to the next command.
func uninterrupted<Value: Sendable, Failure: Error>(
  _ body: @escaping @Sendable () async throws(Failure) -> Value
) async throws(Failure) -> Value {
  let task = Task { () async -> Result<Value, Failure> in
    do throws(Failure) {
      return .success(try await body())
    } catch {
      return .failure(error)
    }
  }
  return try await task.value.get()
}
