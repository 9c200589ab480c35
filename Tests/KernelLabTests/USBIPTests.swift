import LabKit
import TestKit
import Testing
import WireJSON

extension KernelLab {
  /// The export over TCP, its client being the kernel's own tool.
  @Suite struct USBIPTests {
    @Test(.timeLimit(.minutes(30)))
    func `the kernel's usbip tool lists the simulated devices, plugs one in over TCP and takes it out again`()
      async throws
    {
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        try await guest.write(
          "/run/devices.conf",
          JourneyTests.hall(
            """
            [device reader]
            model = id-card-reader
            usb = single-pair
            start = card present citizen
            [device pad]
            model = keypad

            """))
        let export = try await guest.launch(
          "exec halld simulate --hall /run/devices.conf --usbip 127.0.0.1:3240")
        try await export.line(containing: "127.0.0.1:3240")
        let list = try await guest.check("usbip list -r 127.0.0.1 2>&1")
        #expect(list.contains("(0400:c35a)") && list.contains("(1209:0001)"), "\(list)")

        let hall = try await GuestHall.start(on: guest, [.init("idcard", "id-card-reader", at: "usb:any")])
        try await hall.device("idcard", is: "noDevice")
        let name = try #require(
          list.split(separator: "\n").first { $0.contains("(0400:c35a)") }?.split(separator: ":").first)
        try await guest.check("usbip attach -r 127.0.0.1 -b \(name.filter { $0 != " " })")
        try await hall.device("idcard", is: "online")
        #expect(try await guest.check("usbip port 2>&1").contains("(0400:c35a)"))
        let read = try await JourneyTests.read(hall, "idcard", "read-1")
        #expect(read.status == 200 && read.body["type"] == "citizen", "\(read.status)")

        let mark = hall.mark
        try await guest.check("usbip detach -p 0")
        try await hall.device("idcard", is: "noDevice", after: mark)
        try await guest.check("usbip attach -r 127.0.0.1 -b \(name.filter { $0 != " " })")
        try await hall.device("idcard", is: "online")
        let again = try await JourneyTests.read(hall, "idcard", "read-2")
        #expect(again.status == 200, "\(again.body)")
      }
    }
  }
}
