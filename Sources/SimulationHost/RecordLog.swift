internal import Codecs
internal import Posix
internal import Simulation
internal import Synchronization

/// The file in which a simulated device's records outlive it: one line each, fields separated by tabs.
///
/// ```
/// 2026-11-21T09:30:00.125+08:00	dispenser	ticket	ticket-number=7	end=cut	lines=A007 | 综合受理
/// ```
/// A backslash, a tab and a line break inside a value are written as `\\`, `\t` and `\n`. Each line is on the disk before the
/// device answers its host.
final class RecordLog: Sendable {
  /// Longest log that is read at the start.
  private static let limit = 256 << 20
  private static let numberFields = ["ticket-number", "press-number", "page-number", "job"]

  /// The last running numbers in the file, by their fields' names.
  let lastNumbers: [String: Int]
  private let log: AppendLog
  private let isFailing = Mutex(false)

  /// Opens the log of one device, or makes it.
  init(path: String) throws(SystemError) {
    lastNumbers = Files.exists(path) ? Self.numbers(in: try Files.read(path, limit: Self.limit)) : [:]
    log = try AppendLog(path: path, mode: 0o600)
  }

  private static func numbers(in bytes: [UInt8]) -> [String: Int] {
    var numbers: [String: Int] = [:]
    for line in bytes.split(separator: UInt8(ascii: "\n")) {
      for field in line.split(separator: UInt8(ascii: "\t")) {
        let parts = field.split(separator: UInt8(ascii: "="), maxSplits: 1)
        guard parts.count == 2 else { continue }
        let name = String(decoding: parts[0], as: UTF8.self)
        guard numberFields.contains(name), let number = Int(String(decoding: parts[1], as: UTF8.self)) else {
          continue
        }
        numbers[name] = max(numbers[name] ?? 0, number)
      }
    }
    return numbers
  }

  /// Writes one record. A log that cannot be written is said once on standard error; the device goes on.
  func append(_ entry: SimulationEntry) {
    do throws(SystemError) {
      try log.append(Self.line(entry, at: WallTime.now().rfc3339))
      isFailing.withLock { $0 = false }
    } catch {
      let isNew = isFailing.withLock { isFailing in
        defer { isFailing = true }
        return !isFailing
      }
      if isNew {
        StandardStreams.writeError("simulated \(entry.device): its log cannot be written: \(error)\n")
      }
    }
  }

  static func line(_ entry: SimulationEntry, at time: String) -> String {
    let fields = entry.record.fields.map { "\($0.name)=\(escaped($0.value))" }
    return ([time, entry.device, entry.record.event] + fields).joined(separator: "\t")
  }

  private static func escaped(_ value: String) -> String {
    var text = ""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\\": text += "\\\\"
      case "\t": text += "\\t"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text
  }
}
