import LabKit
import TestKit
import Testing
import WireJSON

extension KernelLab {
  /// What goes wrong between a device and the agent, each told apart from the others and with its own advice.
  @Suite struct FailureTests {
    /// What is told of a device that is not in service.
    struct Told {
      var code: String
      var english: String
      var chinese: String
      var actor: String
    }

    private static func told(_ hall: GuestHall, _ role: String) async throws -> Told {
      let english = try await hall.device(role)
      let chinese = try await hall.chinese("/v1/devices/\(role)")
      let reason = try #require(english["reason"], "\(english)")
      return Told(
        code: reason["code"]?.string ?? "", english: reason["title"]?.string ?? "",
        chinese: chinese["reason"]?["title"]?.string ?? "", actor: reason["actor"]?.string ?? "")
    }

    /// Waits until the agent tells this of the device: the events carry the code.
    static func told(_ hall: GuestHall, _ role: String, _ code: String) async throws -> Told {
      try await hall.device(role, because: code)
      return try await told(hall, role)
    }

    @Test(.timeLimit(.minutes(30)))
    func `six things that keep a device out of service have six names and six pieces of advice`() async throws
    {
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        let devices = try await GuestDevices.plugged(
          guest,
          JourneyTests.hall(
            """
            [device printer]
            model = ticket-dispenser
            usb = printer
            [device evaluator]
            model = evaluator
            usb = serial
            [device reader]
            model = id-card-reader
            usb = single-pair

            """))
        try await guest.check("rmmod cdc_acm && rm /lib/modules/*/kernel/drivers/usb/class/cdc-acm.ko")
        try await devices.apply("unplug", to: "evaluator")
        try await devices.apply("plug", to: "evaluator")
        let claim = try await guest.launch("exec claim 1-3 0")
        try await claim.line(containing: "claimed")
        let hall = try await GuestHall.start(
          on: guest,
          [
            .init(
              "printer", "ticket-dispenser", at: "usb-interface:1-1:1.0",
              "profile = escpos-simulated\nusb-kernel-driver = leave"),
            .init("evaluator", "evaluator", at: "usb:port:1-2"),
            .init("reader", "id-card-reader", at: "usb:port:1-3"),
          ])
        var all: [String: Told] = [:]
        all["usblp has it"] = try await Self.told(hall, "printer", "device.heldByDriver")
        all["its kernel module is missing"] = try await Self.told(hall, "evaluator", "device.driverMissing")
        let evidence = try await hall.device("evaluator")["reason"]?["detail"]?.string
        #expect(evidence?.contains("this kernel's for it: cdc_acm") == true, "\(evidence ?? "nothing")")
        all["another program has claimed it"] = try await Self.told(hall, "reader", "device.busy")

        // The rival goes; the rights go too.
        try await claim.signal(9)
        try await hall.device("reader", is: "online")
        try await devices.apply("unplug", to: "reader")
        all["it is gone"] = try await Self.told(hall, "reader", "device.gone")
        try await guest.write(
          "/etc/udev/rules.d/99-deny.rules",
          "SUBSYSTEM==\"usb\", ATTR{idVendor}==\"0400\", GROUP=\"root\", MODE=\"0600\"\n")
        try await guest.check("udevadm control --reload")
        try await devices.apply("plug", to: "reader")
        all["nobody may open it"] = try await Self.told(hall, "reader", "device.denied")
        try await guest.check("rm /etc/udev/rules.d/99-deny.rules && udevadm control --reload")
        try await devices.apply("unplug", to: "reader")
        try await devices.apply("nak on", to: "reader")
        try await devices.apply("plug", to: "reader")
        all["it does not answer"] = try await Self.told(hall, "reader", "device.silent")

        // Before a person is called its port is reset, once; and when it answers it is in service.
        let mark = hall.mark
        _ = try await hall.event(after: mark) {
          $0["role"]?.string == "reader" && $0["reason"]?.string == "device.silent"
        }
        let detail = try await hall.device("reader")["reason"]?["detail"]?.string
        #expect(detail?.hasSuffix("also after a reset of its USB port") == true, "\(detail ?? "nothing")")
        #expect(try await guest.check("dmesg").contains("usb 1-3: reset full-speed USB device"))
        try await devices.apply("nak off", to: "reader")
        try await hall.device("reader", is: "online")

        for (what, told) in all.sorted(by: { $0.key < $1.key }) {
          print("\(what): \(told.code) (\(told.actor))\n  \(told.english)\n  \(told.chinese)")
        }
        #expect(all.count == 6)
        #expect(Set(all.values.map(\.code)).count == 6)
        #expect(Set(all.values.map(\.english)).count == 6)
        #expect(Set(all.values.map(\.chinese)).count == 6)
        #expect(
          all.values.allSatisfy {
            $0.chinese.unicodeScalars.contains { (0x4e00...0x9fff).contains($0.value) }
          })
      }
    }

    @Test(.timeLimit(.minutes(60))) func `malformed USB devices never bring the agent down`() async throws {
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        let devices = try await GuestDevices.plugged(
          guest,
          JourneyTests.hall(
            "[device idcard]\nmodel = id-card-reader\nusb = single-pair\nstart = card present citizen\n"))
        let hall = try await GuestHall.start(
          on: guest, [.init("idcard", "id-card-reader", at: "usb:port:1-1")])
        try await hall.device("idcard", is: "online")
        let kernel = try await guest.launch("exec dmesg --follow-new")
        var seen: [String: Int] = [:]
        for seed in 1...Lab.malformedDevices {
          var mark = hall.mark
          try await devices.apply("unplug", to: "idcard")
          if seed == 1 { try await hall.device("idcard", is: "noDevice", after: mark) }
          try await guest.check(
            "until [ ! -e /sys/bus/usb/devices/1-1 ]; do sleep 0.02; done; udevadm settle")
          try await hall.device("idcard", is: "noDevice")
          try await devices.apply("malformed-descriptors \(seed)", to: "idcard")
          let lines = kernel.lines.count
          mark = hall.mark
          try await devices.apply("plug", to: "idcard")
          // The kernel either shows the device, or gives up; both are told in its log.
          let word = try await kernel.line(after: lines) {
            $0.contains("usb 1-1: New USB device found") || $0.contains("unable to enumerate USB device")
          }
          var outcome = "not reported by the kernel"
          if word.text.contains("New USB device") {
            // Whatever it is, it is not "gone": it is there.
            let told = try await hall.event(after: mark) { data in
              data["role"]?.string == "idcard"
                && !["noDevice", "starting"].contains(data["state"]?.string ?? "noDevice")
            }
            if told.data["state"] == "online" {
              let read = try await JourneyTests.read(hall, "idcard", "read-\(seed)")
              outcome = read.status == 200 ? "used" : "refused to read: \(read.body["code"]?.string ?? "?")"
              #expect(read.status == 200 || read.body["code"] != nil)
            } else {
              outcome = "told: \(told.data["reason"]?.string ?? "nothing")"
              #expect(told.data["reason"]?.string != nil, "seed \(seed): \(told.data)")
            }
          }
          seen[outcome, default: 0] += 1
          #expect(!hall.agent.isOver, "seed \(seed): \(hall.agent.text)")
          if hall.agent.isOver { break }
        }
        print("\(Lab.malformedDevices) malformed devices: \(seen)")
        try await devices.apply("unplug", to: "idcard")
        try await devices.apply("clear faults", to: "idcard")
        try await devices.apply("plug", to: "idcard")
        try await hall.device("idcard", is: "online")
        #expect(try await JourneyTests.read(hall, "idcard", "read-end").status == 200)
      }
    }
  }
}
