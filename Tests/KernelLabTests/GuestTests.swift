import LabKit
import Posix
import TestKit
import Testing

extension KernelLab {
  /// The lab itself: what it says about everything else is worth as much as this.
  @Suite struct GuestTests {
    @Test(.timeLimit(.minutes(30)))
    func `a guest starts, runs commands as any user and tells how they ended`()
      async throws
    {
      try await Guest.run { guest in
        let kernel = try await guest.check("uname -r")
        #expect(kernel.hasPrefix("6.1."))
        #expect(try await guest.check("id -un; id -Gn", as: "clerk") == "clerk\nclerk hall")
        let failed = try await guest.run("cat; echo wrong >&2; exit 7", input: Array("given".utf8))
        #expect(failed.status == 7)
        #expect(failed.output == "given")
        #expect(failed.errors == "wrong\n")
        let endless = try await guest.run("sleep 1000", timeout: .milliseconds(200))
        #expect(endless.isTimedOut)
        let year = try await guest.check("date +%Y")
        #expect(Int(year) ?? 0 >= 2024)
        try await guest.check("mkfifo /tmp/pipe")
        let follower = try await guest.launch("echo first; read line < /tmp/pipe; echo then $line")
        try await guest.check("echo more > /tmp/pipe")
        let line = try await follower.line(containing: "then")
        #expect(line.text == "then more")
        #expect(try await follower.result().status == 0)
        try Files.replaceDurable("\(guest.shared)/word", bytes: Array("shared".utf8), mode: 0o644)
        #expect(try await guest.check("cat /mnt/word") == "shared")
      }
    }

    @Test(.timeLimit(.minutes(30))) func `the programs that were built run in a guest`() async throws {
      try await Guest.run { guest in
        let version = try await guest.check("halld --version")
        #expect(version.contains("halld"))
        let help = try await guest.check("hallctl --help", as: "clerk")
        #expect(help.contains("hallctl"))
      }
    }

    @Test(.timeLimit(.minutes(30))) func `two guests never make the same random numbers`() async throws {
      var seen: Set<String> = []
      for _ in 0..<2 {
        seen.insert(try await Guest.run { try await $0.check("head -c 16 /dev/urandom | od -An -tx1") })
      }
      #expect(seen.count == 2)
    }
  }
}
