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

    static func told(_ hall: GuestHall, _ role: String) async throws -> Told? {
      guard let reason = try await hall.device(role)["reason"] else { return nil }
      let chinese = try await hall.chinese("/v1/devices/\(role)")
      return Told(
        code: reason["code"]?.string ?? "", english: reason["title"]?.string ?? "",
        chinese: chinese["reason"]?["title"]?.string ?? "", actor: reason["actor"]?.string ?? "")
    }

    /// Waits until the agent tells this of the device: the events carry the code.
    static func told(_ hall: GuestHall, _ role: String, _ codes: String...) async throws -> Told {
      var last: Told?
      do {
        return try await Attempts.until("\(role): \(codes)", limit: .seconds(40)) {
          guard let now = try await told(hall, role) else { return nil }
          last = now
          return codes.contains(now.code) ? now : nil
        }
      } catch {
        let explained = try await hall.guest.run("hallctl explain \(role)").output
        throw Programs.Failure(
          description:
            "\(error); told: \(last.map { "\($0)" } ?? "nothing")\n\(explained)\n\(hall.agent.text)")
      }
    }

    @Test(.timeLimit(.minutes(4)))
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
        // A program that prints by itself has the kernel's printer driver open.
        let rival = try await guest.launch("exec 3<>/dev/usb/lp*; echo held; sleep 100000")
        try await rival.line(containing: "held")
        try await guest.check("gadget acm silent 0; udevadm settle")
        try await guest.check(
          "rmmod cdc_acm; echo 'install cdc_acm /bin/false' > /etc/modprobe.d/missing.conf")
        try await devices.apply("unplug", to: "evaluator")
        try await devices.apply("plug", to: "evaluator")
        let claim = try await guest.launch("exec claim 1-3 0")
        try await claim.line(containing: "claimed")
        let hall = try await GuestHall.start(
          on: guest,
          [
            .init("printer", "ticket-dispenser", at: "usb:port:1-1"),
            .init("evaluator", "evaluator", at: "usb:port:1-2"),
            .init("reader", "id-card-reader", at: "usb:port:1-3"),
          ])
        var all: [String: Told] = [:]
        all["usblp has it"] = try await Self.told(hall, "printer", "device.heldByDriver", "device.busy")
        all["its kernel module is missing"] = try await Self.told(hall, "evaluator", "device.driverMissing")
        all["another program has claimed it"] = try await Self.told(hall, "reader", "device.busy")

        // The rival goes; the rights go too.
        try await claim.signal(9)
        try await hall.device("reader", is: "online")
        try await devices.apply("unplug", to: "reader")
        all["it is gone"] = try await Self.told(hall, "reader", "device.gone", "device.absent")
        try await guest.write(
          "/etc/udev/rules.d/99-deny.rules",
          "SUBSYSTEM==\"usb\", ATTR{idVendor}==\"0400\", GROUP=\"root\", MODE=\"0600\"\n")
        try await guest.check("udevadm control --reload")
        try await devices.apply("plug", to: "reader")
        all["nobody may open it"] = try await Self.told(hall, "reader", "device.denied")
        try await guest.check("rm /etc/udev/rules.d/99-deny.rules && udevadm control --reload")
        try await devices.apply("unplug", to: "reader")
        try await devices.apply("power off", to: "reader")
        try await devices.apply("plug", to: "reader")
        all["it does not answer"] = try await Self.told(hall, "reader", "device.silent")

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

    @Test(.timeLimit(.minutes(20))) func `malformed USB devices never bring the agent down`() async throws {
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        let devices = try await GuestDevices.plugged(
          guest,
          JourneyTests.hall(
            "[device idcard]\nmodel = id-card-reader\nusb = single-pair\nstart = card present citizen\n"))
        let hall = try await GuestHall.start(
          on: guest, [.init("idcard", "id-card-reader", at: "usb:port:1-1")])
        try await hall.device("idcard", is: "online")
        var seen: [String: Int] = [:]
        for seed in 1...Lab.malformedDevices {
          try await devices.apply("unplug", to: "idcard")
          try await hall.device("idcard", is: "noDevice")
          try await devices.apply("malformed-descriptors \(seed)", to: "idcard")
          try await devices.apply("plug", to: "idcard")
          // The kernel either shows the device, or gives up; both are told in its log.
          let shown = try await guest.run(
            """
            for n in $(seq 200); do
              if [ -e /sys/bus/usb/devices/1-1 ]; then udevadm settle; echo shown; exit; fi
              if dmesg | grep -q "unable to enumerate USB device"; then echo refused; exit; fi
              sleep 0.1
            done
            echo nothing
            """, timeout: .seconds(90))
          try await guest.check("dmesg -C")
          var outcome = shown.output.split(separator: "\n").first.map(String.init) ?? "nothing"
          if outcome.hasPrefix("shown") {
            let told = try await Attempts.until("a word on device \(seed)") { () -> String? in
              let device = try await hall.device("idcard")
              if device["state"] == "online" { return "online" }
              guard device["state"] != "starting" else { return nil }
              return device["reason"]?["code"]?.string
            }
            if told == "online" {
              let read = try await JourneyTests.read(hall, "idcard", "read-\(seed)")
              outcome = read.status == 200 ? "used" : "refused to read: \(read.body["code"]?.string ?? "?")"
              #expect(read.status == 200 || read.body["code"] != nil)
            } else {
              outcome = "told: \(told)"
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

    @Test(.timeLimit(.minutes(3)))
    func `the project's rules apply, and no simulated device has an error in its descriptors`() async throws {
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        _ = try await GuestDevices.plugged(guest, Self.everyDevice)
        let verbose = try await guest.check("lsusb -v 2>&1", timeout: .seconds(120))
        for word in ["error", "invalid", "unexpected", "junk", "cannot", "can't", "warning", "unrecognized"] {
          let lines = verbose.split(separator: "\n").filter { $0.lowercased().contains(word) }
          // The hubs of the kernel's own controllers.
          #expect(lines.allSatisfy { $0.contains("can't get debug descriptor") }, "\(lines)")
        }
        let nodes = try await guest.check(
          """
          for n in $(seq 9); do
            udevadm test /sys/bus/usb/devices/1-$n 2>&1 | grep -E 'hall|not found|invalid|unknown' | head -3
            . /sys/bus/usb/devices/1-$n/uevent
            stat -c '%n %G %a' /dev/$DEVNAME
          done
          """)
        print(nodes)
      }
    }

    static let everyDevice = """
      [hall]
      speed = instant
      [device reader]
      model = id-card-reader
      usb = single-pair
      [device reader-split]
      model = id-card-reader
      usb = split-pipe
      [device reader-5020]
      model = id-card-reader
      usb = 0316-5020
      [device reader-hid]
      model = id-card-reader
      usb = hid
      [device reader-hid-wrapped]
      model = id-card-reader
      usb = hid-wrapped
      [device dispenser]
      model = ticket-dispenser
      usb = printer
      [device keypad]
      model = keypad
      [device evaluator]
      model = evaluator
      usb = serial
      [device camera]
      model = document-camera

      """

    @Test(.timeLimit(.minutes(3))) func `a camera without MJPEG is refused by name`() async throws {
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        try await GuestHall.permitGadgets(guest)
        try await guest.check("modprobe vivid && udevadm settle")
        let node = try await guest.check(
          "for v in /sys/class/video4linux/video*; do grep -q vivid $v/name && echo /dev/${v##*/}; done | head -1"
        )
        let hall = try await GuestHall.start(
          on: guest, [.init("camera", "scanner", at: "video:\(node)", "profile = camera-generic")])
        let told = try await Self.told(hall, "camera", "camera.format")
        #expect(told.english.contains("MJPEG"))
      }
    }
  }
}
