import Codecs
import Devices
import Drivers
import HallKit
import Posix
import TestKit
import Testing
import WireJSON

/// Every shipped profile against a description of its device, as libudev tells it of an umockdev test bed.
@Suite(.timeLimit(.minutes(5))) struct ShippedProfileTests {
  static let directory = "Tests/Fixtures/devices"
  static let hasUMockdev = Programs.areExpected("umockdev-run")
  static let hasPython = Programs.areExpected("umockdev-wrapper") && Files.exists("/usr/bin/python3")

  static let shipped: ProfileSet = {
    let paths = (try? Repository.files(under: "config/profiles", suffix: ".conf")) ?? []
    let files = paths.map { (path: $0, text: Array(((try? Repository.text($0)) ?? "").utf8)) }
    return ProfileSet.read(files, drivers: Catalog.drivers).profiles
  }()

  @Test func `every profile has a description of its device`() throws {
    let names = try Files.list(Repository.root + "/" + Self.directory)
    #expect(Self.shipped.profiles.count > 20)
    for profile in Self.shipped.profiles {
      #expect(
        names.contains(profile.name + ".umockdev") || names.contains(profile.name + ".facts"),
        "\(profile.name): no description under \(Self.directory)")
      // What is on USB is described as udev tells it.
      let isUSB = profile.match.flatMap(\.self).contains { predicate in
        predicate.fact == "transport"
          && ["usb", "usblp", "hidraw", "evdev", "video"].contains { word in
            predicate.holds(["transport": word])
          }
      }
      #expect(!isUSB || names.contains(profile.name + ".umockdev"), "\(profile.name): needs a .umockdev")
    }
  }

  /// What `halld devices` finds where only this device is plugged in.
  private static func candidates(_ name: String) async throws -> [[String: String]] {
    let result = try await RunningProgram.run(
      Programs.path(of: "umockdev-run") ?? "umockdev-run",
      [
        "-d", "\(Repository.root)/\(directory)/\(name).umockdev", "--", Built.path("halld"), "devices",
        "--json",
        "--profiles", Repository.root + "/config/profiles",
      ])
    #expect(result.status == .exited(0), "\(result.errors)")
    let value = try JSON.parse(Array(result.output.utf8))
    return (value["candidates"]?.array ?? []).map { one in
      (one["facts"]?.object ?? [:]).compactMapValues(\.string)
    }
  }

  private static func facts(_ name: String) throws -> [String: String] {
    var facts: [String: String] = [:]
    for line in try Repository.text("\(directory)/\(name).facts").split(separator: "\n") {
      let parts = line.split(separator: "=", maxSplits: 1).map { String($0.trimming { $0 == " " }) }
      if parts.count == 2 { facts[parts[0]] = parts[1] }
    }
    return facts
  }

  @Test(.enabled(if: hasUMockdev, "umockdev-run is not installed"), arguments: shipped.names)
  func `the device of a profile is recognised as that and nothing else of its kind`(name: String) async throws
  {
    let profile = try #require(Self.shipped.named(name))
    let isDescribed = Files.exists("\(Repository.root)/\(Self.directory)/\(name).umockdev")
    let candidates = isDescribed ? try await Self.candidates(name) : [try Self.facts(name)]
    let fitting = candidates.filter { profile.weight(for: $0) != nil }
    #expect(!fitting.isEmpty, "\(candidates)")
    guard profile.isAutomatic else { return }
    let best = fitting.map { Self.shipped.best(for: profile.kind, facts: $0)?.name }
    // A generic profile of a serial line is one of several that fit as well; the configuration names the port and the kind.
    #expect(best.contains(name), "\(best)")
    let other = candidates.compactMap { Self.shipped.best(for: profile.kind, facts: $0, least: 2)?.name }
    #expect(other.allSatisfy { $0 == name }, "\(other)")
  }

  @Test(
    .enabled(if: hasUMockdev, "umockdev-run is not installed"),
    arguments: ["not-laser", "not-star", "not-ipp-usb", "not-keyboard"])
  func `what is no device of a hall is taken for none`(name: String) async throws {
    let candidates = try await Self.candidates(name)
    #expect(!candidates.isEmpty)
    for facts in candidates {
      for kind in DeviceKind.allCases {
        #expect(Self.shipped.best(for: kind, facts: facts, least: 2) == nil, "\(facts)")
      }
      #expect(Self.shipped.named("evaluator-keys")?.weight(for: facts) == nil, "the clerk's keyboard")
    }
  }

  @Test(.enabled(if: hasUMockdev, "umockdev-run is not installed"))
  func `everything about a printer behind usblp is known before it is opened`() async throws {
    let candidates = try await Self.candidates("escpos-epson")
    #expect(candidates.map { $0["transport"] } == ["usb", "usblp"])
    #expect(
      candidates.last == [
        "transport": "usblp", "address": "/dev/usb/lp0", "driver": "usblp", "usb-id": "04b8:0202",
        "usb-maker": "EPSON", "usb-product": "TM-T88V", "usb-serial": "J5DF123456", "usb-port": "1-2",
        "usb-class": "07/01/02", "usb-interface": "0", "ieee1284-maker": "EPSON", "ieee1284-model": "TM-T88V",
        "ieee1284-commands": "ESC/POS",
      ])
  }

  @Test(.enabled(if: hasPython, "umockdev's Python binding is not installed"))
  func `devices are followed as they come, bind, unbind and go`() async throws {
    let result = try await RunningProgram.run(
      Programs.path(of: "umockdev-wrapper") ?? "umockdev-wrapper",
      [
        "/usr/bin/python3", Repository.root + "/Tests/Fixtures/hotplug.py", Built.path("halld"),
        Repository.root + "/config/profiles", Repository.root + "/" + Self.directory,
      ])
    #expect(result.status == .exited(0), "\(result.errors)")
    let steps = try result.output.split(separator: "\n").map { try JSON.parse(Array($0.utf8)) }
    #expect(
      steps.compactMap { $0["step"]?.string } == [
        "there from the beginning", "pulled out", "plugged in again", "a printer, not bound yet", "bound",
        "triggered", "unbound", "gone", "ended",
      ], "\(result.output)")
  }
}

extension Substring {
  fileprivate func trimming(_ isLeftOut: (Character) -> Bool) -> Substring {
    var text = self
    while let first = text.first, isLeftOut(first) { text.removeFirst() }
    while let last = text.last, isLeftOut(last) { text.removeLast() }
    return text
  }
}
