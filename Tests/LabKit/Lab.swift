internal import Posix
internal import TestKit

/// The images that `.ci/lab` prepares: Debian's stock kernel and a small Debian, to be run by QEMU in software.
public enum Lab {
  /// Whether tests with it are to run: it is there, or it is the continuous integration (`CI=true`), where a missing one
  /// has to be a failure.
  public static var isExpected: Bool { Environment["CI"] == "true" || missing == nil }

  /// What to say when they are not.
  public static var reason: String {
    "the kernel lab is not there: \(missing ?? "nothing missing"). Run .ci/setup tests and .ci/lab"
  }

  /// How often a device comes and goes where that is repeated: `HALL_LAB_CYCLES`, 10 if not set.
  public static var cycles: Int { number("HALL_LAB_CYCLES", otherwise: 10) }

  /// How many malformed devices are tried: `HALL_LAB_MALFORMED`, 15 if not set.
  public static var malformedDevices: Int { number("HALL_LAB_MALFORMED", otherwise: 15) }

  /// A count from the environment, at least 1.
  public static func number(_ name: String, otherwise standard: Int) -> Int {
    max(Environment[name].flatMap(Int.init) ?? standard, 1)
  }

  /// Where the images are: `HALL_LAB`, else `.build/lab` of the repository.
  static let directory = Environment["HALL_LAB"] ?? Repository.root + "/.build/lab"

  private static var missing: String? {
    for name in ["vmlinux", "initrd.cpio", "root.erofs", "machine", "snapshot", "key"]
    where !Files.exists("\(directory)/\(name)") { return "no \(directory)/\(name)" }
    return Programs.path(of: "qemu-system-x86_64") == nil ? "no qemu-system-x86_64" : nil
  }

  /// The directory of the programs that were built with the tests: that of the program that runs the tests.
  static let programs = Files.directory(of: (try? Files.realPath("/proc/self/exe")) ?? "/usr/bin/true")

  /// The directory of Swift's runtime libraries that this process has loaded; the programs' own when it has none.
  static let runtime: String = {
    let maps = (try? Files.read("/proc/self/maps", limit: 16 << 20)) ?? []
    for line in maps.split(separator: 10) {
      let words = String(decoding: line, as: UTF8.self).split(separator: " ", maxSplits: 5)
      guard words.count == 6, words[5].hasSuffix("/libswiftCore.so") else { continue }
      return Files.directory(of: String(words[5].drop { $0 == " " }))
    }
    return programs
  }()

  /// So many guests at a time, whatever suites run side by side, as each takes a processor for itself while it works:
  /// `HALL_LAB_GUESTS`, 4 if not set.
  static let turn = Turn(places: number("HALL_LAB_GUESTS", otherwise: 4))

  /// A turn that is waited for in order.
  actor Turn {
    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(places: Int) { free = places }

    func take() async {
      if free > 0 {
        free -= 1
        return
      }
      await withCheckedContinuation { waiting.append($0) }
    }

    func pass() {
      if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
    }
  }
}
