import LabKit
import Posix
import TestKit
import Testing

/// A program in a guest that takes a line and says what came of it.
private struct Interlocutor: Sendable {
  let guest: Guest
  let name: String
  let program: GuestCommand

  static func start(_ name: String, _ script: String, on guest: Guest) async throws -> Interlocutor {
    // Held open for writing too, so that the end of one who writes is not the end of the input.
    let program = try await guest.launch(
      "mkfifo /run/\(name) && exec 9<>/run/\(name) && echo listening && exec \(script) <&9")
    try await program.line(containing: "listening")
    return Interlocutor(guest: guest, name: name, program: program)
  }

  /// Says lines and does not wait for answers.
  func say(_ lines: String...) async throws {
    try await guest.check("cat > /run/\(name)", input: Array((lines.joined(separator: "\n") + "\n").utf8))
  }

  /// Says a line and waits for the next that comes.
  func ask(_ line: String) async throws -> String {
    let before = program.lines.count
    try await guest.check("cat > /run/\(name)", input: Array((line + "\n").utf8))
    return try await program.line(after: before) { _ in true }.text
  }
}

/// `usbip_device.py`, plugged in: a device of somebody else's that obeys.
private struct FarEnd: Sendable {
  let commands: Interlocutor
  /// Its port, such as `1-1`.
  let port: String

  static func plug(into guest: Guest, as name: String = "device") async throws -> FarEnd {
    let source = "\(Repository.root)/Tests/Fixtures/usbip_device.py"
    try await Programs.run("cp", source, "\(guest.shared)/usbip_device.py")
    let commands = try await Interlocutor.start(name, "python3 /mnt/usbip_device.py", on: guest)
    try await commands.program.line(containing: "attached")
    // Its last interface is there when every one is; udev has seen to the nodes when it has settled.
    let port = try await guest.check(
      """
      for n in $(seq 500); do
        for d in /sys/bus/usb/devices/*; do
          vendor=; read -r vendor 2>/dev/null <$d/idVendor
          if [ "$vendor" = 1209 ] && [ -e $d/${d##*/}:1.2/bInterfaceNumber ]; then
            udevadm settle; echo ${d##*/}; exit 0
          fi
        done
        read -t 0.02 <> <(:)
      done
      exit 1
      """)
    return FarEnd(commands: commands, port: port)
  }

  func say(_ lines: String...) async throws {
    for line in lines { try await commands.say(line) }
  }

  /// Waits until the device has got so many bytes at an endpoint, and tells all that it got.
  func received(_ count: Int, at endpoint: String) async throws -> String {
    let program = commands.program
    let start = "out \(endpoint) "
    func all() -> String {
      var bytes = ""
      for line in program.lines where line.text.hasPrefix(start) { bytes += line.text.dropFirst(start.count) }
      return bytes
    }
    return try await Attempts.until("\(count) bytes at endpoint \(endpoint)", limit: .seconds(300)) {
      let text = all()
      return text.utf8.count >= count * 2 ? text : nil
    }
  }
}

extension KernelLab {
  /// USB interfaces by libusb and printers by usblp against the kernel's own usbfs and usblp, the far end being a device
  /// that does what it is told. No driver of this project's and no agent is in between.
  @Suite struct USBTransportTests {
    private func probe(_ guest: Guest, _ name: String = "probe") async throws -> Interlocutor {
      try await Interlocutor.start(name, "ChannelProbe", on: guest)
    }

    @Test(.timeLimit(.minutes(30)))
    func `bytes go both ways through bulk and interrupt endpoints, whatever packets they come in`()
      async throws
    {
      try await Guest.run { guest in
        let device = try await FarEnd.plug(into: guest)
        let probe = try await probe(guest)
        let opened = try await probe.ask("open usb-interface:\(device.port):1.0")
        #expect(opened == "opened 81+85/02+06:7 81/02 85/06")
        #expect(try await probe.ask("layout 81/02") == "ok")

        #expect(try await probe.ask("write 112233") == "ok")
        #expect(try await device.received(3, at: "02") == "112233")
        try await device.say("send 81 aabbcc")
        #expect(try await probe.ask("read 4096") == "aabbcc")
        #expect(try await probe.ask("read 4096 200") == "error no answer in time")

        // A full packet with nothing after it is not waited upon.
        let full = String(repeating: "66", count: 64)
        try await device.say("flood 81 \(full)")
        #expect(try await probe.ask("read 4096 10000") == full)
        try await device.say("send 81 \(full)", "send 81 01")
        #expect(try await probe.ask("read 4096 10000") == full)
        #expect(try await probe.ask("read 4096 10000") == "01")

        #expect(try await probe.ask("fill 50000 20000") == "ok")
        let filled = String(try await device.received(50_003, at: "02").dropFirst(6))
        #expect(filled == Self.pattern(50_000))

        #expect(try await probe.ask("layout 81+85/02+06:7") == "ok")
        #expect(try await probe.ask("write 000102030405060708090a") == "ok")
        #expect(try await device.received(4, at: "06") == "0708090a")
        #expect(try await device.received(50_010, at: "02").hasSuffix("00010203040506"))
        // The rest of a message waits for its head, in whatever order they are ready.
        try await device.say("send 85 b0b1", "send 81 a0a1a2a3a4a5a6")
        #expect(try await probe.ask("read 4096") == "a0a1a2a3a4a5a6")
        #expect(try await probe.ask("read 4096") == "b0b1")
        #expect(try await probe.ask("close") == "ok")

        #expect(try await probe.ask("open usb-interface:\(device.port):1.2") == "opened 84/04")
        #expect(try await probe.ask("fill 20") == "ok")
        #expect(try await device.received(20, at: "04") == Self.pattern(20))
        try await device.say("send 84 010203")
        #expect(try await probe.ask("read 64") == "010203")
        #expect(try await probe.ask("close") == "ok")
      }
    }

    @Test(.timeLimit(.minutes(30)))
    func `a write whose last packet is full ends with an empty one where the profile wants it`() async throws
    {
      try await Guest.run { guest in
        let device = try await FarEnd.plug(into: guest)
        let probe = try await probe(guest)
        _ = try await probe.ask("open usb-interface:\(device.port):1.0 layout=81/02 zero-packet")
        #expect(try await probe.ask("fill 128") == "ok")
        _ = try await device.received(128, at: "02")
        // usbip carries the wish as a flag of the request (URB_ZERO_PACKET, 0x40).
        try await device.commands.program.line(containing: "flags 02 40")
      }
    }

    @Test(.timeLimit(.minutes(30)))
    func `what a device refuses ends with its own error and leaves the device usable`() async throws {
      try await Guest.run { guest in
        let device = try await FarEnd.plug(into: guest)
        let probe = try await probe(guest)
        _ = try await probe.ask("open usb-interface:\(device.port):1.0 layout=81/02")

        // A halted endpoint is cleared, and what was not begun is done after all.
        try await device.say("stall 81", "send 81 77")
        #expect(try await probe.ask("read 64") == "77")
        try await device.say("stall 02")
        #expect(try await probe.ask("write 99") == "ok")
        #expect(try await device.received(1, at: "02") == "99")

        try await device.say("babble 81")
        #expect(try await probe.ask("read 64").hasPrefix("error malformed: endpoint 81"))
        try await device.say("send 81 78")
        #expect(try await probe.ask("read 64") == "78")

        // One that takes nothing more: the error counts what it took.
        try await device.say("hold 02")
        #expect(try await probe.ask("write 01020304 300") == "error after 0: no answer in time")
        try await device.say("release 02")
        #expect(try await probe.ask("write 05") == "ok")
        #expect(try await device.received(2, at: "02") == "9905")

        #expect(try await probe.ask("begin read 64 60000") == "begun")
        #expect(try await probe.ask("cancel") == "ok")
        #expect(try await probe.ask("joined") == "error cancelled")
        #expect(try await probe.ask("begin read 64 60000") == "begun")
        #expect(try await probe.ask("close") == "ok")
        #expect(try await probe.ask("joined") == "error cancelled")
      }
    }

    @Test(.timeLimit(.minutes(30)))
    func `pulling the plug ends what waits at once, by libusb and by usblp`() async throws {
      try await Guest.run { guest in
        let probe = try await probe(guest)
        for (index, (address, command)) in [
          ("usb-interface:PORT:1.0 layout=81/02", "read 64 3600000"),
          ("usb-interface:PORT:1.0 layout=81/02", "fill 30000 3600000"),
          ("lp:/dev/usb/lp0", "read 64 3600000"), ("lp:/dev/usb/lp0", "fill 30000 3600000"),
        ].enumerated() {
          let device = try await FarEnd.plug(into: guest, as: "device\(index)")
          let place = address.split(separator: "PORT", omittingEmptySubsequences: false).joined(
            separator: device.port)
          #expect(try await probe.ask("open \(place)").hasPrefix("opened"))
          try await device.say("hold 02", "hold 03")
          #expect(try await probe.ask("begin \(command)") == "begun")
          let before = probe.program.lines.count
          try await probe.say("joined")
          try await device.say("unplug")
          try await device.commands.program.line(containing: "detached")
          // It does not wait for its own time, which is longer than this test may last.
          let line = try await probe.program.line(after: before) { _ in true }
          let isWrite = command.hasPrefix("fill")
          #expect(
            line.text == (isWrite ? "error after 0: the far end has left" : "error the far end has left"))
          #expect(try await probe.ask("close") == "ok")
        }
      }
    }

    @Test(.timeLimit(.minutes(30)))
    func `usblp counts what the printer has taken, and closing waits only so long`() async throws {
      try await Guest.run { guest in
        let device = try await FarEnd.plug(into: guest)
        let probe = try await probe(guest)
        #expect(try await probe.ask("open lp:/dev/usb/lp0") == "opened")
        #expect(try await probe.ask("status") == "status 24 paper-empty=false selected=true error=false")
        try await device.say("status 30")
        #expect(try await probe.ask("status") == "status 48 paper-empty=true selected=true error=true")
        #expect(try await probe.ask("id") == "id MFG:Far End;")

        try await device.say("send 83 12")
        #expect(try await probe.ask("read 64") == "12")
        #expect(try await probe.ask("fill 20000 30000") == "ok")
        _ = try await device.received(20_000, at: "03")

        // The printer takes the first 8192 bytes and a bit: the bit is not counted, for it was not reported.
        try await device.say("hold 03")
        #expect(try await probe.ask("begin fill 30000 60000") == "begun")
        try await device.say("take 03 8192")
        _ = try await device.received(28_192, at: "03")
        try await device.say("take 03 100")
        _ = try await device.received(28_292, at: "03")
        #expect(try await probe.ask("cancel") == "ok")
        #expect(try await probe.ask("joined") == "error after 8192: cancelled")
        #expect(try await probe.ask("close") == "ok")

        // A printer that refuses bytes is not taken for one that printed them.
        try await device.say("release 03", "stall 03")
        #expect(try await probe.ask("open lp:/dev/usb/lp0") == "opened")
        #expect(try await probe.ask("write 0102").hasPrefix("error after 0: write /dev/usb/lp0 failed"))
        #expect(try await probe.ask("close") == "ok")
      }
    }

    @Test(.timeLimit(.minutes(30)))
    func `whoever has the printer is named, and the kernel's driver gives it up and gets it back`()
      async throws
    {
      try await Guest.run { guest in
        let device = try await FarEnd.plug(into: guest)
        let one = try await probe(guest, "one")
        let other = try await probe(guest, "other")
        let interface = "usb-interface:\(device.port):1.1"
        let process = "ChannelProbe (process "

        #expect(try await one.ask("open lp:/dev/usb/lp0") == "opened")
        #expect(
          try await other.ask("open lp:/dev/usb/lp0").hasPrefix(
            "error in use: /dev/usb/lp0 is held by \(process)"))
        // A driver whose node a program has open is not pulled away from under it.
        #expect(
          try await other.ask("open \(interface)").hasPrefix(
            "error in use: /dev/usb/lp0 is held by \(process)"))
        // Also where the program is another account's, and its descriptors are not to be seen.
        try await guest.check("chmod 666 /dev/usb/lp0 /dev/bus/usb/*/*")
        let unseen = try await guest.run("printf 'open \(interface)\\n' | ChannelProbe", as: "stranger")
        #expect(
          unseen.output.contains("error in use: /dev/usb/lp0 is held by a program of another account"),
          "\(unseen)")
        try await guest.check("chmod 660 /dev/usb/lp0 /dev/bus/usb/*/*")
        #expect(try await one.ask("close") == "ok")

        #expect(
          try await other.ask("open \(interface) leave-kernel-driver")
            == "error in use: \(device.port):1.1 is held by the kernel's driver usblp")
        #expect(try await other.ask("open \(interface)") == "opened")
        #expect(try await other.ask("status") == "status 24 paper-empty=false selected=true error=false")
        #expect(try await other.ask("id") == "id MFG:Far End;")
        #expect(try await one.ask("open lp:/dev/usb/lp0") == "error nothing at /dev/usb/lp0")
        #expect(try await one.ask("open \(interface)").contains(" is held by \(process)"))
        #expect(try await other.ask("close") == "ok")
        try await guest.check("udevadm settle; test -c /dev/usb/lp0")
        #expect(try await one.ask("open lp:/dev/usb/lp0") == "opened")
        #expect(try await one.ask("close") == "ok")

        #expect(try await one.ask("open \(interface) no-return") == "opened")
        #expect(try await one.ask("close") == "ok")
        try await guest.check("udevadm settle; test ! -e /dev/usb/lp0")

        let stranger = try await guest.run(
          "printf 'open \(interface)\\nopen usb-interface:9-9:1.0\\n' | ChannelProbe", as: "stranger")
        #expect(stranger.output.contains("error permission denied: /dev/bus/usb/"), "\(stranger)")
        #expect(stranger.output.contains("error nothing at USB interface 9-9:1.0"), "\(stranger)")
      }
    }

    @Test(.timeLimit(.minutes(30)))
    func `devices that come and go leave nothing behind`() async throws {
      try await Guest.run { guest in
        let probe = try await probe(guest)
        var before = ""
        for cycle in 0..<Lab.cycles + 3 {
          let device = try await FarEnd.plug(into: guest, as: "device\(cycle)")
          for address in ["usb-interface:\(device.port):1.0 layout=81/02", "lp:/dev/usb/lp0"] {
            #expect(try await probe.ask("open \(address)").hasPrefix("opened"))
            #expect(try await probe.ask("begin read 64 60000") == "begun")
            if address.hasPrefix("lp") || cycle % 2 == 0 {
              #expect(try await probe.ask("close") == "ok")
              #expect(try await probe.ask("joined") == "error cancelled")
            } else {
              try await device.say("unplug")
              #expect(try await probe.ask("joined") == "error the far end has left")
              #expect(try await probe.ask("close") == "ok")
              break
            }
          }
          if cycle % 2 == 0 { try await device.say("unplug") }
          let now = try await probe.ask("resources")
          if cycle == 2 { before = now }
        }
        let after = try await probe.ask("resources")
        #expect(Self.descriptors(after) <= Self.descriptors(before), "\(before), then \(after)")
      }
    }

    private static func descriptors(_ text: String) -> Int {
      text.split(separator: " ").first.flatMap { Int($0) } ?? Int.max
    }

    /// What the probe's `fill` sends, in hexadecimal.
    private static func pattern(_ count: Int) -> String {
      var text = ""
      for index in 0..<count {
        let number: Int = index ^ (index >> 8) ^ (index >> 16)
        let digits = String(number & 0xff, radix: 16)
        text += digits.utf8.count == 1 ? "0" + digits : digits
      }
      return text
    }
  }
}
