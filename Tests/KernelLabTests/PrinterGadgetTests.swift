import LabKit
import TestKit
import Testing
import WireJSON

extension KernelLab {
  /// The kernel's own printer gadget as the ticket printer's USB side, through usblp and through libusb.
  @Suite struct PrinterGadgetTests {
    /// The ways a class 7 printer can be reached.
    enum Way: String, CaseIterable, CustomTestStringConvertible {
      case usblp, libusb
      var testDescription: String { rawValue }
    }

    @Test(.timeLimit(.minutes(30)), arguments: Way.allCases)
    func `a ticket is printed on the kernel's printer gadget, pulled out in the middle, and printed again`(
      way: Way
    ) async throws {
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        let devices = try await GuestDevices.onTerminals(
          guest, "[hall]\nspeed = instant\n[device dispenser]\nmodel = ticket-dispenser\n")
        try await GuestHall.permitGadgets(guest)
        let place = try await guest.check("gadget printer roll 0 && udevadm settle")
        let cable = try await guest.launch(
          "exec join /dev/g_printer0 \(GuestDevices.directory)/dispenser.tty roll")
        try await cable.line(containing: "joined")
        let port =
          switch way {
          case .usblp: "lp:/dev/usb/lp0"
          case .libusb: "usb-interface:\(place):1.0"
          }
        let hall = try await GuestHall.start(
          on: guest, [.init("dispenser", "ticket-dispenser", at: port, "profile = escpos-generic-80")])
        try await hall.device("dispenser", is: "online")
        let first = try await hall.call(
          "POST", "/v1/devices/dispenser/tickets", ["requestId": "t-1", "service": "A"])
        #expect(first.body["printed"] == "yes", "\(first.body)")
        let number = try #require(first.body["number"]?.string)
        let tickets = try await devices.records(of: "dispenser", "ticket")
        #expect(tickets.count == 1 && tickets[0].contains(number), "\(tickets)")

        try await guest.check("echo 200 > /run/cut-to-roll")
        let mark = hall.mark
        let second = try await hall.call(
          "POST", "/v1/devices/dispenser/tickets", ["requestId": "t-2", "service": "A"])
        #expect(second.body["printed"] != "yes", "\(second.body)")
        try await hall.device("dispenser", is: "noDevice", after: mark)

        try await guest.check("gadget plug roll && udevadm settle")
        try await hall.device("dispenser", is: "online")
        let third = try await hall.call(
          "POST", "/v1/devices/dispenser/tickets", ["requestId": "t-3", "service": "A"])
        #expect(third.body["printed"] == "yes", "\(third.body)")
        #expect(
          try await devices.records(of: "dispenser", "ticket").last?.contains(
            third.body["number"]?.string ?? "?") == true)
      }
    }
  }
}
