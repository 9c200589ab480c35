import Codecs
import Glibc

/// What libFuzzer calls with each input. Which codec gets it is chosen by the variable `HALL_FUZZ_CODEC`, so that one program
/// serves them all: building is what takes the time.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
  target(unsafe Array(UnsafeBufferPointer(start: start, count: count)))
  return 0
}

private let target: @Sendable ([UInt8]) -> Void = {
  let name = unsafe getenv("HALL_FUZZ_CODEC").map { unsafe String(cString: $0) } ?? ""
  guard let target = FuzzTargets.all[name] else {
    for name in FuzzTargets.all.keys.sorted() { print(name) }
    exit(64)
  }
  return target
}()

/// Ends the run as a finding.
func hold(_ condition: Bool, _ what: StaticString, line: Int = #line) {
  guard !condition else { return }
  print("does not hold: \(what), line \(line)")
  fflush(nil)
  abort()
}
