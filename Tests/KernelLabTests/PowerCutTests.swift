import LabKit
import TestKit
import Testing

extension KernelLab {
  /// The power-cut rig: that it loses what was not flushed, and nothing else.
  @Suite struct PowerCutTests {
    static func formatted() async throws -> VolatileDisk {
      let disk = VolatileDisk()
      try await Guest.run(disk: disk) { guest in
        try await guest.check("mkfs.ext4 -q -E lazy_itable_init=1,nodiscard /dev/vdb && sync /dev/vdb")
      }
      return disk
    }

    @Test(.timeLimit(.minutes(30))) func `a file that was synchronised outlives a power cut`() async throws {
      let formatted = try await Self.formatted()
      for loss in [VolatileDisk.Loss.everything, .some(seed: 1)] {
        try await Self.cut(VolatileDisk(copyOf: formatted), losing: loss)
      }
    }

    static func cut(_ disk: VolatileDisk, losing loss: VolatileDisk.Loss) async throws {
      let guest = try await Guest.start(disk: disk)
      try await guest.check(
        """
        mount /dev/vdb /disk && mkdir /disk/d && head -c 100000 /dev/zero | tr '\\0' k > /disk/d/kept
        sync /disk/d/kept && sync /disk/d && sync /disk
        head -c 100000 /dev/zero | tr '\\0' l > /disk/d/lost
        """)
      await guest.cutPower(losing: loss)
      try await Guest.run(disk: disk) { guest in
        try await guest.check("mount /dev/vdb /disk")
        #expect(try await guest.check("tr -d k < /disk/d/kept | wc -c; wc -c < /disk/d/kept") == "0\n100000")
        #expect(try await guest.run("cat /disk/d/lost").output.count < 100_000)
      }
    }

    @Test(.timeLimit(.minutes(30))) func `what the disk had taken and nobody flushed is lost`() async throws {
      let disk = VolatileDisk()
      let guest = try await Guest.start(disk: disk)
      // Written to the device, past every cache of the guest, but not flushed.
      try await guest.check(
        """
        head -c 65536 /dev/zero | tr '\\0' a | dd of=/dev/vdb bs=4096 oflag=direct conv=fsync status=none
        head -c 65536 /dev/zero | tr '\\0' b | dd of=/dev/vdb bs=4096 oflag=direct status=none
        """)
      let before = disk.counts
      #expect(before.writes >= 32)
      #expect(before.flushes >= 1)
      await guest.cutPower(losing: .some(seed: 7))
      #expect(disk.counts.lostSectors > 0)
      try await Guest.run(disk: disk) { guest in
        let rest = try await guest.check(
          "dd if=/dev/vdb bs=65536 count=1 iflag=direct status=none | fold -w 512 | sort | uniq -c | awk '{print $1, substr($2,1,1)}'"
        )
        let counts = rest.split(separator: "\n").map { $0.split(separator: " ") }
        #expect(counts.map { $0[1] } == ["a", "b"])
        #expect(counts.compactMap { Int($0[0]) }.reduce(0, +) == 128)
      }
    }

    @Test(.timeLimit(.minutes(30))) func `a disk that fails says so`() async throws {
      let disk = VolatileDisk()
      try await Guest.run(disk: disk) { guest in
        disk.faults.flushing = true
        let result = try await guest.run("echo x | dd of=/dev/vdb conv=fsync status=none")
        #expect(result.status != 0)
        #expect(result.errors.contains("Input/output error"))
        disk.faults.flushing = false
        try await guest.check("echo x | dd of=/dev/vdb conv=fsync status=none")
      }
    }
  }
}
