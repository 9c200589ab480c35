import LabKit
import TestKit
import Testing

extension KernelLab {
  /// The project's udev rules, applied by udev itself; and the descriptors of the simulated devices, read by `lsusb`.
  @Suite struct UdevTests {
    /// In their order into the ports 1-1 to 1-9.
    private static let everyDevice = """
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

    @Test(.timeLimit(.minutes(30)))
    func
      `no simulated device has an error in its descriptors, and each gets the rights that its profile asks for`()
      async throws
    {
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        _ = try await GuestDevices.plugged(guest, Self.everyDevice)
        let verbose = try await guest.check("lsusb -v 2>&1", timeout: .seconds(120))
        #expect(verbose.split(separator: "\n").count { $0.contains("Simulated") } >= 9)
        for word in ["error", "invalid", "unexpected", "junk", "cannot", "can't", "warning", "unrecognized"] {
          let lines = verbose.split(separator: "\n").filter { $0.lowercased().contains(word) }
          // The hubs of the kernel's own controllers.
          #expect(lines.allSatisfy { $0.contains("can't get debug descriptor") }, "\(lines)")
        }

        // What udev itself says it does; a mistake in the rules would be told here too.
        let tested = try await guest.check(
          """
          for n in $(seq 9); do
            udevadm test /sys/bus/usb/devices/1-$n 2>&1 | grep -E '70-hall-agent|nvalid|nknown' |
              sed -E "s,.*70-hall-agent.rules:[0-9]+ ,$n ,; s,/sys.*/power/control,power," | grep -v '^Reading' || true
          done
          """)
        for port in 1...9 {
          let said = tested.split(separator: "\n").filter { $0.hasPrefix("\(port) ") }
            .map { String($0.dropFirst(2)) }
          // No profile names the serial evaluator by its ids: it is a serial port of the group dialout.
          #expect(said == (port == 8 ? [] : ["GROUP 991", "MODE 0660", "ATTR 'power' writing 'on'"]))
        }
        let rights = try await guest.check(
          """
          for n in $(seq 9); do
            . /sys/bus/usb/devices/1-$n/uevent
            echo $n $(stat -c '%G %a' /dev/$DEVNAME) $(cat /sys/bus/usb/devices/1-$n/power/control) \
              $(udevadm info -q property /sys/bus/usb/devices/1-$n | grep -o 'ID_MM_DEVICE_IGNORE=1')
          done
          find /dev/usb/lp* /dev/hidraw* /dev/input/event* /dev/video* /dev/ttyACM* -printf '%f %g %m\\n'
          """)
        print(rights)
        let lines = Set(rights.split(separator: "\n").map(String.init))
        for port in 1...9 where port != 8 {
          #expect(lines.contains("\(port) hall 660 on ID_MM_DEVICE_IGNORE=1"))
        }
        // Never for everybody, and nothing of a device that only its other side is used of.
        #expect(!lines.contains { $0.hasSuffix("6") || $0.hasSuffix("7") })
        func count(_ start: String, _ end: String) -> Int {
          lines.count { $0.hasPrefix(start) && $0.hasSuffix(end) }
        }
        #expect(count("lp", "hall 660") == 1)
        #expect(count("hidraw", "hall 660") == 2)
        #expect(count("hidraw", "root 600") == 1)
        #expect(count("event", "hall 660") == 1)
        #expect(count("video", "hall 660") == 2)
        #expect(count("ttyACM", "dialout 660") == 1)

        // What a configuration names by its port is added to the rules.
        try await guest.write(
          "/etc/hall-agent/hall-agent.conf",
          """
          [agent]
          hall = lab
          position = window-01
          state = /var/lib/hall-agent
          profiles = /usr/share/hall-agent/profiles
          [device evaluator]
          kind = evaluator
          port = usb:port:1-8

          """)
        try await guest.check(
          """
          halld udev-rules --config /etc/hall-agent/hall-agent.conf > /etc/udev/rules.d/70-hall-agent.rules
          udevadm control --reload && udevadm trigger --settle --action=add /sys/bus/usb/devices/1-8
          udevadm trigger --settle --action=add /sys/class/tty/ttyACM0
          """)
        let named = try await guest.check(
          "stat -c '%G %a' /dev/ttyACM0; udevadm info -q property /dev/ttyACM0 | grep -o ID_MM_PORT_IGNORE=1")
        #expect(named == "hall 660\nID_MM_PORT_IGNORE=1")
      }
    }
  }
}
