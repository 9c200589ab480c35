private import CLinux

/// What becomes of this process's memory when it crashes.
public enum CoreDumps {
  /// Leaves no copy of the memory and prints nothing of it, whatever the system does with crashes: no file, nothing for a collector, and no other
  /// program of this account may look into it (prctl(2) `PR_SET_DUMPABLE`). To be called before anything that is a
  /// citizen's can be in it.
  public static func forbid() throws(SystemError) {
    try check(clinux_forbid_core_dumps(), "forbid core dumps")
  }
}
