import LabKit
import TestKit
import Testing
import WireJSON

extension KernelLab {
  /// Devices behind a USB serial port of the kernel's own: configfs and dummy_hcd on the far side, cdc_acm on this one.
  @Suite struct SerialGadgetTests {
    @Test(.timeLimit(.minutes(30)))
    func `a card reader behind a real USB serial port is read, pulled out in the middle, and read again`()
      async throws
    {
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        let devices = try await GuestDevices.onTerminals(
          guest, "[hall]\nspeed = instant\n[device idcard]\nmodel = id-card-reader\n")
        try await guest.check("gadget acm reader 0")
        let cable = try await guest.launch(
          "exec join /dev/ttyGS0 \(GuestDevices.directory)/idcard.tty reader")
        try await cable.line(containing: "joined")
        try await guest.check("udevadm settle; ls -l /dev/ttyACM0")
        let hall = try await GuestHall.start(
          on: guest,
          [.init("idcard", "id-card-reader", at: "tty:/dev/ttyACM0", "profile = sdt-serial")])
        try await hall.device("idcard", is: "online")

        try await devices.apply("card present citizen", to: "idcard")
        let first = try await hall.call(
          "POST", "/v1/devices/idcard/card-reads", ["requestId": "read-1", "timeoutSeconds": 30])
        #expect(first.status == 200, "\(first.body)")
        #expect(first.body["type"] == "citizen")

        // In the middle of the reply with the card's content: 1295 bytes (facts/idcard.md).
        try await guest.check("echo 700 > /run/cut-reader")
        let mark = hall.mark
        let second = try await hall.call(
          "POST", "/v1/devices/idcard/card-reads", ["requestId": "read-2", "timeoutSeconds": 30])
        #expect(second.status != 200)
        #expect(second.body["code"]?.string?.hasPrefix("device.") == true, "\(second.body)")
        let gone = try await hall.device("idcard", is: "noDevice", after: mark)
        #expect(gone.data["reason"]?.string?.hasPrefix("device.") == true, "\(gone.data)")

        try await guest.check("gadget plug reader")
        try await hall.device("idcard", is: "online")
        let third = try await hall.call(
          "POST", "/v1/devices/idcard/card-reads", ["requestId": "read-3", "timeoutSeconds": 30])
        #expect(third.status == 200, "\(third.body)")
      }
    }
  }
}
