import LabKit
import TestKit
import Testing
import WireJSON

extension KernelLab {
  /// Each simulated device as a real USB device, from the socket to its job, out in the middle of it, and back.
  @Suite struct JourneyTests {
    static func hall(_ devices: String) -> String { "[hall]\nspeed = instant\n" + devices }

    /// What is the same for every device: what is told once it is plugged in, and once it is pulled out.
    static func plugBack(_ hall: GuestHall, _ devices: GuestDevices, _ role: String) async throws {
      try await hall.device(role, is: "noDevice")
      let gone = try await hall.device(role)
      #expect(gone["reason"]?["code"]?.string?.hasPrefix("device.") == true, "\(gone)")
      try await devices.apply("plug", to: role)
      try await hall.device(role, is: "online")
    }

    static func read(_ hall: GuestHall, _ role: String, _ request: String) async throws -> (
      status: Int, body: JSONValue, time: Duration
    ) {
      try await hall.call(
        "POST", "/v1/devices/\(role)/card-reads",
        ["requestId": .string(request), "timeoutSeconds": 20])
    }

    @Test(.timeLimit(.minutes(30)))
    func `a card reader of every USB form reads, is pulled out in a reply, and reads again`() async throws {
      let forms = ["single-pair", "split-pipe", "0316-5020", "hid", "hid-wrapped"]
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        let devices = try await GuestDevices.plugged(
          guest,
          Self.hall(forms.map { "[device \($0)]\nmodel = id-card-reader\nusb = \($0)\n" }.joined()))
        let hall = try await GuestHall.start(
          on: guest,
          forms.enumerated().map { .init($0.element, "id-card-reader", at: "usb:port:1-\($0.offset + 1)") })
        for form in forms { try await Self.readAndPull(form, hall, devices) }
      }
    }

    private static func readAndPull(_ form: String, _ hall: GuestHall, _ devices: GuestDevices) async throws {
      try await hall.device(form, is: "online")
      #expect(try await hall.device(form)["profile"]?.string?.hasPrefix("sdt-") == true, "\(form)")

      try await devices.apply("card present citizen", to: form)
      let first = try await read(hall, form, "\(form)-1")
      #expect(first.status == 200 && first.body["type"] == "citizen", "\(form): \(first.status)")

      try await devices.apply("card remove", to: form)
      try await devices.apply("card present citizen", to: form)
      try await devices.apply("unplug after 600 reply bytes", to: form)
      let second = try await read(hall, form, "\(form)-2")
      #expect(second.status != 200, "\(form)")
      #expect(second.body["code"]?.string?.hasPrefix("device.") == true, "\(form): \(second.body)")

      // All the other ports are taken: it comes back into its own.
      try await plugBack(hall, devices, form)
      let third = try await read(hall, form, "\(form)-3")
      #expect(third.status == 200 && third.body["type"] == "citizen", "\(form): \(third.status)")
    }

    @Test(.timeLimit(.minutes(30)))
    func `a USB ticket printer prints what its paper shows, is pulled out in a ticket, and prints again`()
      async throws
    {
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        let devices = try await GuestDevices.plugged(
          guest, Self.hall("[device dispenser]\nmodel = ticket-dispenser\nusb = printer\n"))
        let hall = try await GuestHall.start(
          on: guest, [.init("dispenser", "ticket-dispenser", at: "usb:any")])
        try await hall.device("dispenser", is: "online")
        @Sendable func issue(_ request: String) async throws -> JSONValue {
          try await hall.call(
            "POST", "/v1/devices/dispenser/tickets", ["requestId": .string(request), "service": "A"]
          ).body
        }
        let first = try await issue("t-1")
        #expect(first["printed"] == "yes", "\(first)")
        let tickets = try await devices.records(of: "dispenser", "ticket")
        #expect(tickets.count == 1 && tickets[0].contains(first["number"]?.string ?? "?"), "\(tickets)")

        try await devices.apply("unplug after 200 bytes", to: "dispenser")
        let second = try await issue("t-2")
        #expect(second["printed"] != "yes", "\(second)")
        try await Self.plugBack(hall, devices, "dispenser")
        let third = try await issue("t-3")
        #expect(third["printed"] == "yes", "\(third)")
        #expect(
          try await devices.records(of: "dispenser", "ticket").last?.contains(
            third["number"]?.string ?? "?") == true)
      }
    }

    @Test(.timeLimit(.minutes(30)))
    func
      `a press on a USB evaluator of every form reaches the intake, and a question ends when the cable is out`()
      async throws
    {
      let forms = [
        ("serial", "model = evaluator\nusb = serial"), ("keypad", "model = keypad"),
        ("reports", "model = report-keypad"),
      ]
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        let devices = try await GuestDevices.plugged(
          guest, Self.hall(forms.map { "[device \($0.0)]\n\($0.1)\n" }.joined()))
        let hall = try await GuestHall.start(
          on: guest,
          forms.enumerated().map { .init($0.element.0, "evaluator", at: "usb:port:1-\($0.offset + 1)") })
        for (index, form) in forms.enumerated() {
          try await Self.rateAndPull(form.0, services: Int64(index * 3), hall, devices)
        }
      }
    }

    /// - Parameter services: how many services to the visit were asked about before: a rating is asked once for each.
    private static func rateAndPull(
      _ role: String, services: Int64, _ hall: GuestHall, _ devices: GuestDevices
    ) async throws {
      try await hall.device(role, is: "online")
      @Sendable func ask(_ number: Int64) async throws -> JSONValue {
        try await hall.call(
          "POST", "/v1/devices/\(role)/ratings",
          [
            "requestId": .string("\(role)-\(number)"), "serviceNumber": .integer(services + number),
            "timeoutSeconds": 30,
          ]
        ).body
      }
      @Sendable func rate(_ number: Int64, press level: Int64) async throws {
        let mark = hall.mark
        async let answer = ask(number)
        try await asked(hall, after: mark)
        try await devices.apply("press \(level)", to: role)
        let rated = try await answer
        #expect(rated["outcome"] == "rated", "\(role): \(rated)")
        _ = try await Attempts.until("rating \(number) of \(role) at the intake", limit: .seconds(300)) {
          try hall.accepted("rating").contains {
            $0["data"]?["requestId"]?.string == "\(role)-\(number)" && $0["data"]?["level"] == .integer(level)
          } ? true : nil
        }
      }
      try await rate(1, press: 4)

      let mark = hall.mark
      async let lost = ask(2)
      try await asked(hall, after: mark)
      try await devices.apply("unplug", to: role)
      let answer = try await lost
      #expect(answer["outcome"] != "rated", "\(role): \(answer)")

      try await plugBack(hall, devices, role)
      try await rate(3, press: 5)
    }

    /// Waits until the evaluator asks.
    static func asked(_ hall: GuestHall, after mark: Int) async throws {
      _ = try await hall.event(after: mark) { $0["step"] == "rating" }
    }

    @Test(.timeLimit(.minutes(30)))
    func `a USB document camera captures a page, is pulled out while it streams, and captures again`()
      async throws
    {
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        let devices = try await GuestDevices.plugged(
          guest, Self.hall("[device camera]\nmodel = document-camera\n"))
        let hall = try await GuestHall.start(on: guest, [.init("camera", "scanner", at: "usb:any")])
        try await hall.device("camera", is: "online")
        @Sendable func scan(_ request: String) async throws -> (status: Int, body: JSONValue, time: Duration)
        {
          try await hall.call(
            "POST", "/v1/devices/camera/scans", ["requestId": .string(request), "maximumPages": 1])
        }
        let first = try await scan("scan-1")
        #expect(first.status == 200 && first.body["scanned"]?.array?.count == 1, "\(first.body)")
        let page = try await hall.accepted("material.page", count: 1)
        #expect(page.first?["data"]?["mediaType"] == "image/jpeg")

        try await devices.apply("freeze on", to: "camera")
        let mark = hall.mark
        async let second = scan("scan-2")
        try await hall.device("camera", is: "deviceBusy", after: mark)
        try await devices.apply("unplug", to: "camera")
        let broken = try await second
        #expect(broken.body["scanned"]?.array?.isEmpty != false, "\(broken.body)")
        try await devices.apply("freeze off", to: "camera")
        try await Self.plugBack(hall, devices, "camera")
        let third = try await scan("scan-3")
        #expect(third.status == 200 && third.body["scanned"]?.array?.count == 1, "\(third.body)")
      }
    }
  }
}
