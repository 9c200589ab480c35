import Glibc
import Posix

/// `Bench [NAME [OPTION…]]`: measures, prints figures with the floor of the same run, and ends with 1 when a bound does
/// not hold. Without a name it lists what can be measured; `all` runs everything.
@main
enum Bench {
  static func main() async {
    exit(await run())
  }

  // Not on the main actor, whose every wake goes through a second thread: the service does its work on none either.
  @concurrent private static func run() async -> Int32 {
    Signals.ignoreBrokenPipe()
    let words = Array(Environment.arguments.dropFirst())
    guard let name = words.first else {
      for (name, measurement) in Measurement.all.sorted(by: { $0.key < $1.key }) {
        StandardStreams.writeOut("\(name)  \(measurement.summary)\n")
      }
      return 0
    }
    let chosen = name == "all" ? Measurement.all.keys.filter { $0 != "receive" }.sorted() : [name]
    var holds = true
    for name in chosen {
      guard let measurement = Measurement.all[name] else {
        StandardStreams.writeError("Bench: nothing is called '\(name)'\n")
        return 64
      }
      StandardStreams.writeOut("\(name): \(measurement.summary)\n")
      do {
        for figure in try await measurement.run(Array(words.dropFirst())) {
          StandardStreams.writeOut(figure.line + "\n")
          if !figure.holds { holds = false }
        }
      } catch {
        StandardStreams.writeError("Bench: \(name): \(error)\n")
        holds = false
      }
    }
    return holds ? 0 : 1
  }
}
