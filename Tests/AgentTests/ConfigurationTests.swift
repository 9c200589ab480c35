import Channels
import Codecs
import Devices
import Drivers
import LocalAPI
import Posix
import TestKit
import Testing

@testable import Agent

@Suite struct ConfigurationTests {
  private func read(_ text: String) throws -> Configuration {
    try Configuration.read(Array(text.utf8), file: "hall.conf")
  }

  private func mistakes(_ text: String) -> [ConfError] {
    do throws(ConfErrors) {
      _ = try Configuration.read(Array(text.utf8), file: "hall.conf")
      return []
    } catch {
      return error.errors
    }
  }

  private func shippedProfiles() throws -> ProfileSet {
    let files = try Repository.files(under: "config/profiles", suffix: ".conf")
    let (profiles, errors) = ProfileSet.read(
      try files.map { ($0, Array(try Repository.text($0).utf8)) }, drivers: Catalog.drivers)
    #expect(errors.isEmpty, "\(errors.map(\.description))")
    return profiles
  }

  // MARK: What is right

  @Test func `the shipped configuration is right, and says the standard values as they are`() throws {
    let text = try Repository.text("config/hall-agent.conf")
    let shipped = try read(text)
    #expect(shipped.check(profiles: try shippedProfiles(), drivers: Catalog.drivers).isEmpty)
    let bare = try read("[agent]\nhall = example-hall\nposition = window-01")
    #expect(shipped.socket == bare.socket && shipped.socketGroup == bare.socketGroup)
    #expect(shipped.technicianGroup == bare.technicianGroup)
    #expect(shipped.administratorGroup == bare.administratorGroup)
    #expect(shipped.state == bare.state && shipped.stopTimeout == bare.stopTimeout)
    #expect(shipped.visitTimeout == bare.visitTimeout && shipped.intakeTarget == bare.intakeTarget)
    #expect(shipped.forwarded == bare.forwarded && shipped.dayStarts == bare.dayStarts)
    #expect(shipped.quotaBytes == bare.quotaBytes && shipped.quotaPages == bare.quotaPages)
    #expect(shipped.language == bare.language && shipped.keyFile == bare.keyFile)
  }

  @Test func `everything that can be set is read`() throws {
    let configuration = try read(
      """
      [agent]
      hall = h
      hall-name = 示范大厅
      position = p
      language = en
      socket = /tmp/s.sock
      socket-group = staff
      technician-group = tech
      administrator-group = admin
      state = /tmp/state
      profiles = /a
      profiles = /b
      stop-timeout = 5 s
      visit-timeout = 10 min
      [intake]
      target = http://127.0.0.1:8080
      user = intake
      forward = rating, ticket
      [outbox]
      quota = 2 GiB
      quota-pages = 100
      key-file = /tmp/key
      [queue]
      day-starts = 4
      [service A]
      name = 综合受理
      prefix = A
      windows = 01-08
      [device dispenser]
      kind = ticket-dispenser
      port = tty:/dev/ttyS1
      profile = escpos-generic-80
      simulated = yes
      columns = 42
      [simulation]
      hall = /tmp/hall.conf
      """)
    #expect(configuration.hallName == "示范大厅" && configuration.language == .english)
    #expect(configuration.socket == "/tmp/s.sock" && configuration.socketGroup == "staff")
    #expect(configuration.profiles == ["/a", "/b"] && configuration.stopTimeout == .seconds(5))
    #expect(configuration.visitTimeout == .seconds(600) && configuration.forwarded == ["rating", "ticket"])
    #expect(configuration.quotaBytes == 2 << 30 && configuration.quotaPages == 100)
    #expect(configuration.keyFile == "/tmp/key" && configuration.dayStarts == 4)
    #expect(configuration.services == [QueueService(id: "A", name: "综合受理", prefix: "A", windows: "01-08")])
    let slot = try #require(configuration.slots.first)
    #expect(
      slot.role == "dispenser" && slot.kind == .ticketDispenser && slot.port == .tty(path: "/dev/ttyS1"))
    #expect(slot.profile == "escpos-generic-80" && slot.simulated && slot.settings == ["columns": "42"])
    #expect(configuration.simulation == "/tmp/hall.conf")
  }

  @Test func `a device of this process's simulation is simulated unless it says otherwise`() throws {
    let text = "[agent]\nhall = h\nposition = p\n[device a]\nkind = scanner\nport = "
    #expect(try read(text + "simulated:scanner").slots.first?.simulated == true)
    #expect(try read(text + "simulated:scanner\nsimulated = no").slots.first?.simulated == false)
    #expect(try read(text + "sane:test:0").slots.first?.simulated == false)
  }

  @Test func `slots are equal when nothing about the device has changed, wherever they stand in the file`()
    throws
  {
    let head = "[agent]\nhall = h\nposition = p\n"
    let device = "[device a]\nkind = scanner\nport = sane:test:0\n"
    let one = try read(head + device).slots
    #expect(try read(head + "# moved\n\n[queue]\nday-starts = 3\n" + device).slots == one)
    #expect(try read(head + device + "profile = sane-test").slots != one)
    #expect(try read(head + device + "mode-grey = Grey").slots != one)
  }

  // MARK: What is wrong

  @Test(arguments: [
    ("[agent]\nhall = h\nposition = p\npositon = q", "hall.conf:4:1", "position"),
    ("[agent]\nhall = h\nposition = p\n[devise x]\nkind = scanner", "hall.conf:4:1", "device"),
    ("[agent]\nhall = h\nposition = p\nlanguage = zh-cn", "hall.conf:4:12", "zh-CN"),
    ("[agent]\nhall = h\nposition = p\nstop-timeout = 20", "hall.conf:4:16", ""),
    ("[agent]\nhall = h\nposition = p\nvisit-timeout = 2 h", "hall.conf:4:17", ""),
    ("[agent]\nhall = h\nposition = p\nsocket = run/x", "hall.conf:4:10", ""),
    ("[agent]\nhall = h", "hall.conf:1:", "position"),
    ("[queue]\nday-starts = 0", "hall.conf:1:1", "agent"),
    ("[agent]\nhall = h\nposition = p\n[intake]\nforward = ratings", "hall.conf:5:11", "rating"),
    ("[agent]\nhall = h\nposition = p\n[queue]\nday-starts = 24", "hall.conf:5:14", "23"),
    ("[agent]\nhall = h\nposition = p\n[device x]\nkind = scaner\nport = sane:x", "hall.conf:5:8", "scanner"),
    (
      "[agent]\nhall = h\nposition = p\n[device x]\nkind = scanner\nport = usb:1", "hall.conf:6:8",
      "sane:NAME"
    ),
    (
      "[agent]\nhall = h\nposition = p\n[device x]\nkind = scanner\nport = http://10.0.0.1:80/eSCL",
      "hall.conf:6:8", "127.0.0.1"
    ),
    ("[agent]\nhall = h\nposition = p\n[agent]\nhall = h", "hall.conf:4:1", "line 1"),
    ("hall = h", "hall.conf:1:1", ""), ("[agent\nhall = h", "hall.conf:1:", ""),
    ("", "hall.conf:1:1", "agent"),
  ])
  func `a mistake is told with its place and the right word`(text: String, place: String, word: String) {
    let found = mistakes(text).map(\.description)
    #expect(found.contains { $0.hasPrefix(place) && $0.contains(word) }, "\(found)")
  }

  @Test func `all mistakes of a file are told at once, in both languages`() {
    let found = mistakes("[agent]\nhal = h\nposition = p\nlanguage = fr\n[outbox]\nquota = 20")
    #expect(found.count >= 3)
    for error in found {
      #expect(error.text(chinese: true).unicodeScalars.contains { $0.value > 0x4E00 })
      #expect(!error.text(chinese: false).unicodeScalars.contains { $0.value > 0x2FFF })
    }
  }

  // MARK: What is wrong once drivers and profiles are known

  @Test(arguments: [
    ("kind = scanner\nport = sane:test:0\nprofile = sane-tst", "hall.conf:7:11", "sane-test"),
    ("kind = scanner\nport = sane:test:0\nprofile = sdt-serial", "hall.conf:7:11", "a profile for a scanner"),
    ("kind = scanner\nport = tty:/dev/ttyS1\nprofile = sane-test", "hall.conf:6:8", "sane"),
    (
      "kind = scanner\nport = sane:test:0\nprofile = sane-test\nmode-gray = Gray", "hall.conf:8:1",
      "mode-grey"
    ),
    (
      "kind = id-card-reader\nport = tty:/dev/ttyS1\nprofile = sdt-serial\nbaud = 12345", "hall.conf:8:8",
      "115200"
    ),
    ("kind = id-card-reader\nport = tty:/dev/ttyS1\nboud = 9600", "hall.conf:7:1", "baud"),
    ("kind = scanner\nport = cups:Receipt\nmode-grey = Gray", "hall.conf:7:1", ""),
  ])
  func `a device that cannot work is told before the start`(device: String, place: String, word: String)
    throws
  {
    let configuration = try read("[agent]\nhall = h\nposition = p\n[device x]\n" + device)
    let found = configuration.check(profiles: try shippedProfiles(), drivers: Catalog.drivers).map(
      \.description)
    #expect(found.count == 1 && found[0].hasPrefix(place) && found[0].contains(word), "\(found)")
  }

  @Test(arguments: ["扫描仪", "a b", "a/b", ".."]) func `a role is a word that fits into a path`(role: String)
    throws
  {
    let configuration = try read(
      "[agent]\nhall = h\nposition = p\n[device \(role)]\nkind = scanner\nport = sane:test:0")
    #expect(configuration.check(profiles: try shippedProfiles(), drivers: Catalog.drivers).count == 1)
  }

  @Test func `what a reload cannot take over is told from what it can`() throws {
    let base = try read("[agent]\nhall = h\nposition = p")
    #expect(
      !(try read("[agent]\nhall = h\nposition = p\nhall-name = x\nlanguage = en").differsBeyondReload(
        from: base)))
    for line in ["socket = /tmp/x", "state = /tmp/x", "socket-group = x"] {
      #expect(try read("[agent]\nhall = h\nposition = p\n" + line).differsBeyondReload(from: base), "\(line)")
    }
    #expect(try read("[agent]\nhall = g\nposition = p").differsBeyondReload(from: base))
  }
}
