import Codecs
import Glibc

/// What libFuzzer calls with each input. Which codec gets it is chosen by the variable `HALL_FUZZ_CODEC`, so that one program
/// serves them all: building is what takes the time.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
  target(unsafe Array(UnsafeBufferPointer(start: start, count: count)))
  return 0
}

/// Chooses the target, or names them all: before libFuzzer watches for a target that leaves the program.
@_cdecl("LLVMFuzzerInitialize")
public func fuzzInitialize(
  _ count: UnsafeMutablePointer<Int32>?, _ arguments: UnsafeMutableRawPointer?
) -> Int32 {
  guard chosen == nil else { return 0 }
  for name in FuzzTargets.all.keys.sorted() { print(name) }
  exit(64)
}

private let chosen = unsafe getenv("HALL_FUZZ_CODEC").flatMap { FuzzTargets.all[unsafe String(cString: $0)] }
private let target: @Sendable ([UInt8]) -> Void = chosen ?? { _ in }

/// Ends the run as a finding.
func hold(_ condition: Bool, _ what: StaticString, line: Int = #line) {
  guard !condition else { return }
  print("does not hold: \(what), line \(line)")
  fflush(nil)
  abort()
}
