private import CLinux

/// The kernel's clocks.
public enum SystemClockState {
  /// Whether the kernel holds the wall clock for synchronised (adjtimex(2): no `TIME_ERROR`, no `STA_UNSYNC`).
  public static var isSynchronised: Bool { clinux_clock_synchronised() == 1 }

  /// `CLOCK_MONOTONIC`: never goes back, stands still while the machine is suspended.
  public static func monotonicNanoseconds() -> UInt64 { clinux_monotonic() }

  /// `CLOCK_BOOTTIME`: time since the machine was started, suspension included.
  public static func bootTimeNanoseconds() -> UInt64 { clinux_boottime() }

  /// The kernel's name for this run of the machine (`/proc/sys/kernel/random/boot_id`): monotonic times of two runs
  /// must not be compared.
  public static var bootID: String? {
    guard let bytes = try? Files.read("/proc/sys/kernel/random/boot_id", limit: 64) else { return nil }
    return String(decoding: bytes.prefix { $0 != 10 }, as: UTF8.self)
  }
}
