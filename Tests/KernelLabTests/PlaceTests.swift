import LabKit
import TestKit
import Testing
import WireJSON

extension KernelLab {
  /// Which device is whose, and what is left when devices come and go.
  @Suite struct PlaceTests {
    @Test(.timeLimit(.minutes(30)))
    func `two readers of one model are named by their ports, also when they change places`() async throws {
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        let devices = try await GuestDevices.plugged(
          guest,
          JourneyTests.hall(
            """
            [device one]
            model = id-card-reader
            usb = single-pair
            start = card present citizen
            [device two]
            model = id-card-reader
            usb = single-pair
            start = card present foreigner-2017

            """))
        let hall = try await GuestHall.start(
          on: guest,
          [
            .init("left", "id-card-reader", at: "usb:port:1-1"),
            .init("right", "id-card-reader", at: "usb:port:1-2"),
          ])
        try await hall.device("left", is: "online")
        try await hall.device("right", is: "online")
        func cards(_ request: String) async throws -> [String?] {
          let left = try await JourneyTests.read(hall, "left", "\(request)-left").body["type"]?.string
          let right = try await JourneyTests.read(hall, "right", "\(request)-right").body["type"]?.string
          return [left, right]
        }
        #expect(try await cards("before") == ["citizen", "foreigner2017"])
        for name in ["one", "two"] { try await devices.apply("unplug", to: name) }
        try await hall.device("left", is: "noDevice")
        try await hall.device("right", is: "noDevice")
        // The first that is plugged in gets the first port.
        try await devices.apply("plug", to: "two")
        try await hall.device("left", is: "online")
        try await devices.apply("plug", to: "one")
        try await hall.device("right", is: "online")
        #expect(try await cards("after") == ["foreigner2017", "citizen"])
      }
    }

    @Test(.timeLimit(.minutes(60)))
    func `devices that come and go leave nothing behind in the agent`() async throws {
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        let devices = try await GuestDevices.plugged(
          guest, JourneyTests.hall("[device idcard]\nmodel = id-card-reader\nusb = single-pair\n"))
        let hall = try await GuestHall.start(on: guest, [.init("idcard", "id-card-reader", at: "usb:any")])
        try await hall.device("idcard", is: "online")
        try await devices.apply("card present citizen", to: "idcard")
        let udev = try await guest.launch("exec udevadm monitor --udev --subsystem-match=usb")
        try await udev.line(containing: "UDEV - the event")
        var latencies: [Duration] = []
        var shares: [Duration] = []
        var start: GuestHall.Resources?
        // The first cycles fill what is kept for good: caches, the runtime's threads.
        let warm = 3
        for cycle in 1...(Lab.cycles + warm) {
          if cycle == warm + 1 { start = try await hall.resources() }
          var mark = hall.mark
          try await devices.apply("unplug", to: "idcard")
          try await hall.device("idcard", is: "noDevice", after: mark)
          mark = hall.mark
          let seen = udev.lines.count
          let before = try await hall.processorTime()
          try await devices.apply("plug", to: "idcard")
          let online = try await hall.device("idcard", is: "online", after: mark)
          let added = try await udev.line(after: seen) { $0.contains(" add ") && $0.hasSuffix("(usb)") }
          if let time = Self.time(added.text) { latencies.append(online.time - time) }
          shares.append(try await hall.processorTime() - before)
        }
        let end = try await hall.resources()
        let first = try #require(start)
        print("\(Lab.cycles) times out and in: \(first) before, \(end) after")
        print("udev's add to online: \(Measured(latencies)); the agent's own part: \(Measured(shares))")
        #expect(end.descriptors <= first.descriptors)
        #expect(end.threads <= first.threads)
        // What is allowed: the allocator's own unevenness, not a few kilobytes a cycle.
        #expect(end.privateKilobytes <= first.privateKilobytes + 1024 + 4 * Lab.cycles)
        let read = try await JourneyTests.read(hall, "idcard", "read-last")
        #expect(read.status == 200, "\(read.body)")
      }
    }

    /// The time in `UDEV  [14.419671] add /devices/… (usb)`: udevadm(8) prints the monotonic clock.
    static func time(_ line: String) -> Duration? {
      guard let open = line.firstIndex(of: "["), let close = line.firstIndex(of: "]") else { return nil }
      let text = line[line.index(after: open)..<close].drop { $0 == " " }
      return Double(text).map { .microseconds(Int($0 * 1_000_000)) }
    }
  }
}
