import Posix
import TestKit
import Testing

/// The rules of the structure (README, "How it is built") as tests: they hold whoever changes the code.
@Suite struct StructureTests {
  /// What each module may import besides Swift's own modules. A module that is missing here fails the test.
  static let allowed: [String: Set<String>] = [
    "Posix": ["CLinux", "Glibc"],
    "Crypto": ["CGnuTLS"],
    "Store": ["CSQLite", "Posix"],
    "HTTPClient": ["CCups", "Posix", "Glibc"],
    "HTTPServer": ["CMicroHTTPD", "Posix", "Glibc"],
    "QRSymbol": ["CQREncode"],
    "PageImages": ["CPages"],
    "USB": ["CLibUSB", "Posix", "Glibc"],
    "Hotplug": ["CUdev", "Posix", "Glibc"],
    "WireJSON": ["FoundationEssentials"],
    "Codecs": [],
    "Channels": [],
    "Devices": ["Channels", "Codecs"],
    "Drivers": ["Devices", "Channels", "Codecs"],
    "Simulation": ["Channels", "Codecs"],
    "LinuxChannels": [
      "Channels", "Codecs", "Posix", "HTTPClient", "CCups", "USB", "Hotplug", "CLinux", "Glibc",
    ],
    "SimulationHost": [
      "Simulation", "Channels", "Codecs", "HTTPServer", "Posix", "QRSymbol", "WireJSON", "PageImages",
    ],
    "CitizenBrowser": ["Posix", "WireJSON"],
    "Screens": ["CScreen", "Channels", "Crypto", "HTTPServer", "Posix", "WireJSON"],
    "Outbox": ["Store", "Crypto", "Posix", "HTTPClient", "WireJSON"],
    "Intake": ["HTTPServer", "Crypto", "Posix", "WireJSON"],
    "LocalAPI": ["WireJSON", "HTTPServer", "HTTPClient", "Devices"],
    "Agent": [
      "Devices", "Channels", "Codecs", "Outbox", "LocalAPI", "Store", "Crypto", "Posix", "HTTPServer",
      "HTTPClient",
      "WireJSON", "Screens", "QRSymbol",
    ],
    "Console": ["Codecs"],
    "halld": [
      "Agent", "Drivers", "Devices", "Channels", "Codecs", "LinuxChannels", "Simulation", "SimulationHost",
      "LocalAPI",
      "HTTPServer", "HTTPClient", "Outbox", "Intake", "Store", "Posix", "Crypto", "WireJSON", "Console",
      "Glibc",
      "PageImages", "Screens", "CitizenBrowser",
    ],
    "Fuzz": ["Codecs", "Glibc"],
    "hallctl": ["LocalAPI", "HTTPClient", "Devices", "WireJSON", "Console", "Posix", "Codecs", "Glibc"],
    "Bench": [
      "Agent", "Drivers", "Devices", "Simulation", "Outbox", "Store", "Posix", "Channels", "Codecs",
      "WireJSON",
      "Intake", "Crypto", "HTTPClient", "HTTPServer", "LinuxChannels", "LocalAPI", "SimulationHost",
      "Console", "Glibc",
    ],
  ]
  static let language: Set<String> = ["Synchronization"]
  static let mayBeUnsafe: Set<String> = [
    "Posix", "LinuxChannels", "Crypto", "Store", "HTTPClient", "HTTPServer", "QRSymbol", "PageImages",
    "USB", "Hotplug", "Fuzz", "Screens",
  ]

  private static func module(_ path: String) -> String { String(path.split(separator: "/")[1]) }

  @Test func `every module imports only what is under it`() throws {
    let files = try Repository.files(under: "Sources", suffix: ".swift")
    #expect(files.count > 100)
    for path in files {
      let module = Self.module(path)
      let allowed = try #require(Self.allowed[module], "\(module) is not in the table of allowed imports")
      for line in try Repository.text(path).split(separator: "\n") {
        let words = line.split(separator: " ").filter {
          !["public", "internal", "private", "package"].contains($0)
        }
        guard words.first == "import", words.count >= 2, !line.hasPrefix(" ") else { continue }
        let name = String(words[words.count - 1].split(separator: ".")[0])
        #expect(
          allowed.contains(name) || Self.language.contains(name),
          "\(path) imports \(name), which \(module) may not")
      }
    }
  }

  @Test func `unsafe code stays in the faces of the system and its libraries`() throws {
    for path in try Repository.files(under: "Sources", suffix: ".swift")
    where !Self.mayBeUnsafe.contains(Self.module(path)) {
      for (number, line) in try Repository.text(path).split(separator: "\n", omittingEmptySubsequences: false)
        .enumerated()
      {
        let code = line.split(separator: "//", maxSplits: 1, omittingEmptySubsequences: false).first ?? ""
        let words = code.split { !$0.isLetter && $0 != "_" && $0 != "@" }
        #expect(!words.contains("unsafe") && !words.contains("@unsafe"), "\(path):\(number + 1) is unsafe")
        #expect(
          !words.contains("unchecked") || !code.contains("@unchecked"), "\(path):\(number + 1) is unchecked")
      }
    }
  }

  /// Traps that nothing from outside can reach, each with its reason.
  static let traps: [String: String] = [
    "Sources/Crypto/SHA256.swift":
      "GnuTLS hashes memory: it fails only when there is none left, and a wrong digest would lose pages"
  ]

  @Test func `nothing that comes from outside can trap the program`() throws {
    for path in try Repository.files(under: "Sources", suffix: ".swift") {
      for (number, line) in try Repository.text(path).split(separator: "\n", omittingEmptySubsequences: false)
        .enumerated()
      {
        let code = line.split(separator: "//", maxSplits: 1, omittingEmptySubsequences: false).first ?? ""
        for word in ["try!", "as!", "fatalError(", "preconditionFailure("] {
          #expect(!code.contains(word) || Self.traps[path] != nil, "\(path):\(number + 1) has \(word)")
        }
      }
    }
  }

  @Test func `the top level of the repository is what was agreed`() throws {
    let agreed: Set<String> = ["Package.swift", "Sources", "Tests", "udev", "config", "README.md"]
    for name in try Files.list(Repository.root) where !name.hasPrefix(".") {
      #expect(agreed.contains(name), "\(name) does not belong at the top level")
    }
  }
}
